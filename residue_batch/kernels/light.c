/* Inner loops of light matching: a shot read at the sampling points of many windows, and the sums of a fit to them. */
#include "loops.h"

#include <math.h>
#include <string.h>

/* ---- samples ----------------------------------------------------------------------------- */

/* Whether a photograph shows a point of the frame, between its outermost pixel centres. */
INLINE int shows(photograph_t of, double x, double y)
{
    double u, v;
    seen_at(of, x, y, &u, &v);
    return u >= 0.0 && v >= 0.0 && u <= (double)(of.width - 1) && v <= (double)(of.height - 1);
}

/* Marks the pixels of a window that the photograph does not show or that are saturated; 0 if there is none. */
WIDE int spoilt(const uint16_t *light, photograph_t of, box_t box, uint16_t limit, uint8_t *restrict bad)
{
    const ptrdiff_t size = box.rows * box.cols;
    uint16_t most = 0;
    for (ptrdiff_t i = 0; i < of.channels * size; i++)
        most = light[i] > most ? light[i] : most;
    int whole = !of.bend; /* a homography maps the window to a convex quadrangle: corners inside, all inside */
    for (int corner = 0; corner < 4; corner++)
        whole &= shows(of, (double)(box.left + (corner & 1 ? box.cols - 1 : 0)),
                       (double)(box.top + (corner & 2 ? box.rows - 1 : 0)));
    if (whole && most <= limit)
        return 0;
    memset(bad, 0, (size_t)size);
    for (ptrdiff_t c = 0; most > limit && c < of.channels; c++)
        for (ptrdiff_t i = 0; i < size; i++)
            bad[i] |= light[c * size + i] > limit;
    for (ptrdiff_t r = 0; !whole && r < box.rows; r++)
        for (ptrdiff_t i = 0; i < box.cols; i++)
            bad[r * box.cols + i] |= !shows(of, (double)(box.left + i), (double)(box.top + r));
    return 1;
}

/* Marks the points of a sampling grid that have a marked pixel within ``reach``. */
void beside(const uint8_t *bad, box_t box, box_t grid, ptrdiff_t down, ptrdiff_t across, ptrdiff_t reach, uint8_t *out)
{
    for (ptrdiff_t r = grid.top; r < grid.top + grid.rows; r += down)
        for (ptrdiff_t i = grid.left; i < grid.left + grid.cols; i += across) {
            const ptrdiff_t top = r > reach ? r - reach : 0, bottom = r + reach < box.rows ? r + reach : box.rows - 1;
            const ptrdiff_t left = i > reach ? i - reach : 0, right = i + reach < box.cols ? i + reach : box.cols - 1;
            uint8_t any = 0;
            for (ptrdiff_t y = top; y <= bottom; y++)
                any |= memchr(bad + y * box.cols + left, 1, (size_t)(right - left + 1)) != NULL;
            *out++ = any;
        }
}

/* ---- a fit ------------------------------------------------------------------------------- */

#define LANES 4 /* channels of a sample, together in a vector */

typedef double lanes_t __attribute__((vector_size(8 * LANES)));
typedef int64_t bits_t __attribute__((vector_size(8 * LANES)));

/* Natural logarithm of positive normal numbers, to 1e-12: of the exponent, and 2 artanh((m - 1) / (m + 1)) of a mantissa
 * between 0.7 and 1.4. */
INLINE void log_of(const lanes_t *value, lanes_t *out)
{
    const bits_t bits = (bits_t)*value, half = (bits - 0x3fe6a09e667f3bcdLL) >> 52; /* from sqrt(1/2) on */
    const lanes_t mantissa = (lanes_t)(bits - (half << 52)), s = (mantissa - 1.0) / (mantissa + 1.0), z = s * s;
    lanes_t sum = {1.0 / 15, 1.0 / 15, 1.0 / 15, 1.0 / 15};
    for (int k = 13; k > 0; k -= 2)
        sum = sum * z + 1.0 / k;
    *out = 2.0 * s * sum + 0.6931471805599453 * __builtin_convertvector(half, lanes_t);
}

/* The sums of one step of ``fit_light`` over the samples of each window; see there. Every array of samples is
 * (n, channels). ``sums`` (9, windows, channels) takes those of weight x: 1, rest, slope, edge, slope slope, slope rest,
 * edge edge, edge rest, edge slope. */
WIDE void light_sums(const fit_t of, const double *solved, const double *film, double widen, double *restrict weight,
                double *restrict rest, double *restrict sums)
{
    const ptrdiff_t channels = of.channels;
    const double scale = 1.0 / (of.tukey * widen * of.noise);
    for (ptrdiff_t window = 0; window < of.windows; window++) {
        lanes_t total[9] = {{0.0}};
        const ptrdiff_t end = window + 1 < of.windows ? of.starts[window + 1] : of.samples;
        const double own = film[window], uneven = (of.speckle + of.uneven * fabs(own)) / of.noise;
        for (ptrdiff_t i = of.starts[window]; i < end; i++) {
            const double *term = of.terms + 5 * i;
            double field = 0.0;
            for (int k = 0; k < 5; k++)
                field += solved[channels + k] * term[k];
            lanes_t growth = {1.0, 1.0, 1.0, 1.0}, left = {0.0}, slope = {0.0}, edge = {0.0};
            for (ptrdiff_t c = 0; c < channels; c++) {
                const double by = 1.0 + own * of.contrast[i * channels + c];
                growth[c] = by > 0.2 ? by : 0.2;
                slope[c] = of.contrast[i * channels + c];
                edge[c] = of.bend[i * channels + c];
                left[c] = of.ratio[i * channels + c] - field - solved[c];
            }
            lanes_t grown;
            log_of(&growth, &grown);
            left -= grown;
            const lanes_t shrink = 1.0 / growth;
            slope *= shrink;
            edge *= shrink;
            left -= solved[channels + 5] * edge;
            const lanes_t narrow = 1.0 / (1.0 + uneven * slope), out = left * narrow * scale;
            lanes_t inside = 1.0 - out * out, w = {0.0};
            for (ptrdiff_t c = 0; c < channels; c++) {
                w[c] = inside[c] > 0.0 ? inside[c] * inside[c] : 0.0;
                weight[i * channels + c] = w[c];
                rest[i * channels + c] = left[c];
            }
            w *= narrow * narrow;
            const lanes_t by_slope = w * slope, by_edge = w * edge;
            const lanes_t parts[9] = {w, w * left, by_slope, by_edge, by_slope * slope, by_slope * left,
                                      by_edge * edge, by_edge * left, by_edge * slope};
            for (int k = 0; k < 9; k++)
                total[k] += parts[k];
        }
        for (int k = 0; k < 9; k++)
            for (ptrdiff_t c = 0; c < channels; c++)
                sums[(k * of.windows + window) * channels + c] = total[k][c];
    }
}

/* The share of a standard normal distribution below each value. */
void normal_below(const double *value, ptrdiff_t count, double *out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = 0.5 * erfc(-value[i] / sqrt(2.0));
}
