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

#define LANES 8 /* samples, together in a vector */

typedef double lanes_t __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef int64_t bits_t __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

/* Natural logarithm of positive normal numbers, to 1e-12: of the exponent, and 2 artanh((m - 1) / (m + 1)) of a mantissa
 * between 0.7 and 1.4. */
INLINE void log_of(const lanes_t *value, lanes_t *out)
{
    const bits_t bits = (bits_t)*value, half = (bits - 0x3fe6a09e667f3bcdLL) >> 52; /* from sqrt(1/2) on */
    const lanes_t mantissa = (lanes_t)(bits - (half << 52)), s = (mantissa - 1.0) / (mantissa + 1.0), z = s * s;
    lanes_t sum = z * 0.0 + 1.0 / 15;
    for (int k = 13; k > 0; k -= 2)
        sum = sum * z + 1.0 / k;
    *out = 2.0 * s * sum + 0.6931471805599453 * __builtin_convertvector(half, lanes_t);
}

/* The lanes of ``value`` where it is above ``limit``, and those of ``other`` elsewhere. */
INLINE void where_above(const lanes_t *value, double limit, const lanes_t *other, lanes_t *out)
{
    const bits_t above = (bits_t)(*value > limit);
    *out = (lanes_t)((above & (bits_t)*value) | (~above & (bits_t)*other));
}

/* The sums of one step of ``fit_light`` over the samples of each window; see there. Every array of samples is
 * (channels, n). ``sums`` (9, windows, channels) takes those of weight x: 1, rest, slope, edge, slope slope, slope rest,
 * edge edge, edge rest, edge slope. */
WIDEST void light_sums(const fit_t of, const double *solved, const double *film, double widen, double *restrict weight,
                     double *restrict rest, double *restrict sums)
{
    const ptrdiff_t n = of.samples;
    const double scale = 1.0 / (of.tukey * widen * of.noise);
    for (ptrdiff_t window = 0; window < of.windows; window++) {
        const ptrdiff_t start = of.starts[window], end = window + 1 < of.windows ? of.starts[window + 1] : n;
        const double own = film[window], uneven = (of.speckle + of.uneven * fabs(own)) / of.noise;
        for (ptrdiff_t c = 0; c < of.channels; c++) {
            lanes_t total[9] = {{0.0}};
            for (ptrdiff_t i = start; i < end; i += LANES) {
                const size_t here = (size_t)(end - i < LANES ? end - i : LANES) * sizeof(double);
                /* what no sample fills is far off, and so without weight */
                lanes_t ratio = {1e99, 1e99, 1e99, 1e99, 1e99, 1e99, 1e99, 1e99}, contrast = {0.0}, bend = {0.0};
                lanes_t field = {0.0};
                if (here == sizeof ratio) {
                    ratio = *(const lanes_t *)(of.ratio + c * n + i);
                    contrast = *(const lanes_t *)(of.contrast + c * n + i);
                    bend = *(const lanes_t *)(of.bend + c * n + i);
                    for (int k = 0; k < 5; k++)
                        field += solved[of.channels + k] * *(const lanes_t *)(of.terms + k * n + i);
                } else {
                    memcpy(&ratio, of.ratio + c * n + i, here);
                    memcpy(&contrast, of.contrast + c * n + i, here);
                    memcpy(&bend, of.bend + c * n + i, here);
                    for (int k = 0; k < 5; k++) {
                        lanes_t term = {0.0};
                        memcpy(&term, of.terms + k * n + i, here);
                        field += solved[of.channels + k] * term;
                    }
                }
                const lanes_t least = contrast * 0.0 + 0.2, nothing = {0.0};
                lanes_t growth = 1.0 + own * contrast, grown;
                where_above(&growth, 0.2, &least, &growth);
                log_of(&growth, &grown);
                const lanes_t shrink = 1.0 / growth, slope = contrast * shrink, edge = bend * shrink;
                const lanes_t left = ratio - field - solved[c] - grown - solved[of.channels + 5] * edge;
                const lanes_t narrow = 1.0 / (1.0 + uneven * slope), out = left * narrow * scale;
                lanes_t inside = 1.0 - out * out;
                where_above(&inside, 0.0, &nothing, &inside);
                const lanes_t tukey = inside * inside;
                memcpy(weight + c * n + i, &tukey, here);
                memcpy(rest + c * n + i, &left, here);
                const lanes_t w = tukey * (narrow * narrow), by_slope = w * slope, by_edge = w * edge;
                const lanes_t parts[9] = {w, w * left, by_slope, by_edge, by_slope * slope, by_slope * left,
                                          by_edge * edge, by_edge * left, by_edge * slope};
                for (int k = 0; k < 9; k++)
                    total[k] += parts[k];
            }
            for (int k = 0; k < 9; k++) {
                double sum = 0.0;
                for (int lane = 0; lane < LANES; lane++)
                    sum += total[k][lane];
                sums[(k * of.windows + window) * of.channels + c] = sum;
            }
        }
    }
}

/* The share of a standard normal distribution below each value. */
void normal_below(const double *value, ptrdiff_t count, double *out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = 0.5 * erfc(-value[i] / sqrt(2.0));
}
