/* Inner loops: one pass over a tile each, no allocation, no state.
 *
 * Floating point is kept reproducible: no contraction, no re-association (the build sets
 * -ffp-contract=off and not -ffast-math), so a pixel has the same bits in any tile, with any
 * vector width. Sums are of integers.
 */
#include "loops.h"

#include <stdlib.h>

/* ---- a shot, seen from the board frame -------------------------------------------------- */

#define BITS 8 /* of the sub-pixel position */
#define STEPS (1 << BITS)

/* The displacement of a row of the frame along one axis, as a cubic in x: a bend has ten terms along each axis,
 * 1, x, y, xx, xy, yy, xxx, xxy, xyy, yyy. */
INLINE void cubic_of_row(const double *restrict term, double y, double *restrict cubic)
{
    cubic[0] = term[0] + y * (term[2] + y * (term[5] + y * term[9]));
    cubic[1] = term[1] + y * (term[4] + y * term[8]);
    cubic[2] = term[3] + y * term[7];
    cubic[3] = term[6];
}

/* Positions of a row of the frame in the shot, in 1/256 px, clamped into the photograph. ``bend``, where there is one:
 * its centre, its unit and its terms along x and y. */
INLINE void positions(const double *m, const int bent, const double *bend, double row, ptrdiff_t left, ptrdiff_t cols,
                      double last_x, double last_y, int32_t *restrict at_x, int32_t *restrict at_y)
{
    double along[4] = {0.0}, down[4] = {0.0};
    if (bent) {
        cubic_of_row(bend + 3, (row - bend[1]) / bend[2], along);
        cubic_of_row(bend + 13, (row - bend[1]) / bend[2], down);
    }
    for (int32_t i = 0; i < (int32_t)cols; i++) { /* 32 bits: these convert to double in a vector */
        double x = (double)((int32_t)left + i), y = row;
        if (bent) {
            const double place = (x - bend[0]) / bend[2];
            x += along[0] + place * (along[1] + place * (along[2] + place * along[3]));
            y += down[0] + place * (down[1] + place * (down[2] + place * down[3]));
        }
        const double depth = 1.0 / (m[6] * x + m[7] * y + m[8]);
        double u = (m[0] * x + m[1] * y + m[2]) * depth, v = (m[3] * x + m[4] * y + m[5]) * depth;
        u = u > 0.0 ? u : 0.0; /* also for what is no number */
        v = v > 0.0 ? v : 0.0;
        u = u < last_x ? u : last_x;
        v = v < last_y ? v : last_y;
        at_x[i] = (int32_t)(u * STEPS + 0.5);
        at_y[i] = (int32_t)(v * STEPS + 0.5);
    }
}

#define MOST 64  /* the largest radius of a blur */
#define STRIP 16 /* rows of the frame whose patch of the shot stays in the second cache */

/* A pixel of a patch: up to four channels of linear light, one load. */
typedef float light_t __attribute__((vector_size(16)));
typedef int32_t level_t __attribute__((vector_size(16)));

/* The samples of a row from a patch of the shot, whose first pixel is (top, left). */
INLINE void interpolate(const light_t *restrict patch, ptrdiff_t stride, const int32_t *restrict at_x,
                        const int32_t *restrict at_y, int32_t top, int32_t left, ptrdiff_t cols,
                        const ptrdiff_t channels, uint16_t *restrict out, ptrdiff_t plane)
{
    for (ptrdiff_t i = 0; i < cols; i++) {
        const int32_t x = (at_x[i] >> BITS) - left, y = (at_y[i] >> BITS) - top;
        const float fx = (float)(at_x[i] & (STEPS - 1)) / STEPS, fy = (float)(at_y[i] & (STEPS - 1)) / STEPS;
        const light_t *restrict p = patch + y * stride + x, *restrict q = p + stride;
        const light_t upper = p[0] + (p[1] - p[0]) * fx, lower = q[0] + (q[1] - q[0]) * fx;
        const level_t light = __builtin_convertvector(upper + (lower - upper) * fy + 0.5f, level_t);
        for (ptrdiff_t c = 0; c < channels; c++)
            out[c * plane + i] = (uint16_t)light[c];
    }
}

/* Linear light of a part of the shot; its edges are repeated beyond them, by one pixel at most. */
#define PATCH(PIXEL, CHANNELS)                                                                                         \
    for (ptrdiff_t y = 0; y < part.rows; y++) {                                                                        \
        const ptrdiff_t from = part.top + y < height ? part.top + y : height - 1;                                      \
        const ptrdiff_t inside = part.left + part.cols <= width ? part.cols : width - part.left;                       \
        const PIXEL *restrict p = shot + (from * width + part.left) * (CHANNELS);                                      \
        light_t *restrict to = patch + y * part.cols;                                                                  \
        for (ptrdiff_t x = 0; x < inside; x++)                                                                         \
            for (ptrdiff_t c = 0; c < (CHANNELS); c++)                                                                 \
                to[x][c] = table[p[x * (CHANNELS) + c]];                                                               \
        for (ptrdiff_t x = inside; x < part.cols; x++)                                                                 \
            to[x] = to[x - 1];                                                                                         \
    }

#define STRIP_OF(PIXEL, CHANNELS)                                                                                      \
    PATCH(PIXEL, CHANNELS)                                                                                             \
    for (ptrdiff_t r = 0; r < rows; r++)                                                                               \
        interpolate(patch, part.cols, at_x + r * box.cols, at_y + r * box.cols, (int32_t)part.top, (int32_t)part.left, \
                    box.cols, CHANNELS, out + (start + r) * box.cols, box.rows * box.cols);

/* ``part`` of the shot that the rows of a strip need, from their positions. */
INLINE box_t part_of(const int32_t *restrict at_x, const int32_t *restrict at_y, ptrdiff_t count)
{
    int32_t low_x = INT32_MAX, low_y = INT32_MAX, high_x = 0, high_y = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        low_x = at_x[i] < low_x ? at_x[i] : low_x;
        low_y = at_y[i] < low_y ? at_y[i] : low_y;
        high_x = at_x[i] > high_x ? at_x[i] : high_x;
        high_y = at_y[i] > high_y ? at_y[i] : high_y;
    }
    const ptrdiff_t top = low_y >> BITS, left = low_x >> BITS;
    return (box_t){top, left, (high_y >> BITS) - top + 2, (high_x >> BITS) - left + 2};
}

#define DEFINE_SAMPLE(NAME, PIXEL)                                                                                     \
    WIDE int NAME(const PIXEL *shot, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *table,        \
                  const double *m, const double *bend, box_t box, uint16_t *out)                                       \
    {                                                                                                                  \
        int32_t *at_x = malloc(2 * STRIP * (size_t)box.cols * sizeof *at_x), *at_y = at_x + STRIP * box.cols;          \
        light_t *patch = NULL;                                                                                         \
        ptrdiff_t room = 0;                                                                                            \
        for (ptrdiff_t start = 0; start < box.rows; start += STRIP) {                                                  \
            const ptrdiff_t rows = box.rows - start < STRIP ? box.rows - start : STRIP;                                \
            for (ptrdiff_t r = 0; r < rows; r++) {                                                                     \
                const double row = (double)(box.top + start + r), last_x = (double)(width - 1),                        \
                             last_y = (double)(height - 1);                                                            \
                int32_t *to_x = at_x + r * box.cols, *to_y = at_y + r * box.cols;                                      \
                if (bend)                                                                                              \
                    positions(m, 1, bend, row, box.left, box.cols, last_x, last_y, to_x, to_y);                        \
                else                                                                                                   \
                    positions(m, 0, bend, row, box.left, box.cols, last_x, last_y, to_x, to_y);                        \
            }                                                                                                          \
            const box_t part = part_of(at_x, at_y, rows * box.cols);                                                   \
            if (part.rows * part.cols > room) {                                                                        \
                room = part.rows * part.cols;                                                                          \
                free(patch);                                                                                           \
                patch = malloc((size_t)room * sizeof *patch);                                                          \
            }                                                                                                          \
            if (!at_x || !patch) {                                                                                     \
                free(at_x);                                                                                            \
                return 0;                                                                                              \
            }                                                                                                          \
            if (channels == 3) {                                                                                       \
                STRIP_OF(PIXEL, 3)                                                                                     \
            } else {                                                                                                   \
                STRIP_OF(PIXEL, channels)                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        free(at_x);                                                                                                    \
        free(patch);                                                                                                   \
        return 1;                                                                                                      \
    }

DEFINE_SAMPLE(sample_u8, uint8_t)
DEFINE_SAMPLE(sample_u16, uint16_t)

/* ---- Gaussian blur ----------------------------------------------------------------------- */

INLINE ptrdiff_t clamped(ptrdiff_t i, ptrdiff_t count) { return i < 0 ? 0 : i < count ? i : count - 1; }

/* One row blurred down the columns, with its edge pixels repeated ``radius`` times on either side. */
INLINE void down(const uint16_t *restrict plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                 const float *restrict weights, const int radius, float *restrict line)
{
    float *restrict sum = line + radius;
    const uint16_t *from[2 * MOST + 1];
    for (int k = -radius; k <= radius; k++)
        from[radius + k] = plane + clamped(row + k, rows) * stride;
    for (ptrdiff_t i = 0; i < cols; i++) {
        float total = weights[0] * (float)(int32_t)from[radius][i];
        for (int k = 1; k <= radius; k++)
            total += weights[k] * (float)((int32_t)from[radius - k][i] + (int32_t)from[radius + k][i]);
        sum[i] = total;
    }
    for (int k = 1; k <= radius; k++) {
        sum[-k] = sum[0];
        sum[cols - 1 + k] = sum[cols - 1];
    }
}

INLINE float across(const float *restrict at, const float *restrict weights, const int radius)
{
    float sum = weights[0] * at[0];
    for (int k = 1; k <= radius; k++)
        sum += weights[k] * (at[-k] + at[k]);
    return sum;
}

/* With the radius known the compiler keeps a pixel's sum in a register. */
#define FOR_EACH_RADIUS(DO)                                                                                            \
    switch (radius) {                                                                                                  \
    case 0: DO(0); break;                                                                                              \
    case 1: DO(1); break;                                                                                              \
    case 2: DO(2); break;                                                                                              \
    case 3: DO(3); break;                                                                                              \
    case 4: DO(4); break;                                                                                              \
    case 5: DO(5); break;                                                                                              \
    case 6: DO(6); break;                                                                                              \
    case 7: DO(7); break;                                                                                              \
    case 9: DO(9); break;                                                                                              \
    default: DO(radius);                                                                                               \
    }

/* u16 of every ``every``-th pixel of the blurred plane inside a window of it. */
#define BLUR_EVERY(RADIUS)                                                                                             \
    for (ptrdiff_t r = 0; r < window.rows; r += every) {                                                               \
        const float *restrict at = line + (RADIUS) + window.left;                                                      \
        down(plane, stride, rows, cols, window.top + r, weights, RADIUS, line);                                        \
        if (every == 1) { /* the compiler makes vectors of this */                                                     \
            for (ptrdiff_t i = 0; i < window.cols; i++)                                                                \
                out[i] = (uint16_t)(int32_t)(across(at + i, weights, RADIUS) + 0.5f);                                  \
            out += window.cols;                                                                                        \
        } else {                                                                                                       \
            for (ptrdiff_t i = 0; i < window.cols; i += every)                                                         \
                *out++ = (uint16_t)(int32_t)(across(at + i, weights, RADIUS) + 0.5f);                                  \
        }                                                                                                              \
    }

WIDE void blur_every(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                     int radius, ptrdiff_t every, box_t window, float *line, uint16_t *restrict out)
{
    FOR_EACH_RADIUS(BLUR_EVERY)
}

/* The blurred plane, times a factor that is linear between the rows of a lattice, ``apart`` rows from each other; the
 * first row of the plane lies ``past`` the first of the lattice. */
#define BLUR_SCALE(RADIUS)                                                                                             \
    for (ptrdiff_t r = 0; r < rows; r++) {                                                                             \
        const float share = (float)((past + r) % apart) / (float)apart;                                                \
        const float *restrict upper = factor + (past + r) / apart * cols, *restrict lower = upper + cols;             \
        const float *restrict at = line + (RADIUS);                                                                    \
        float *restrict to = out + r * cols;                                                                           \
        down(plane, stride, rows, cols, r, weights, RADIUS, line);                                                     \
        for (ptrdiff_t i = 0; i < cols; i++)                                                                           \
            to[i] = across(at + i, weights, RADIUS) * (gain * (upper[i] + (lower[i] - upper[i]) * share));             \
    }

WIDE void blur_scale(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                     int radius, const float *factor, ptrdiff_t apart, ptrdiff_t past, float gain, float *line,
                     float *out)
{
    FOR_EACH_RADIUS(BLUR_SCALE)
}

WIDE void scale(const uint16_t *light, ptrdiff_t count, float factor, float *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = (float)light[i] * factor;
}

/* ---- opacity ----------------------------------------------------------------------------- */

#define BLOCK 1024 /* pixels that stay in the first cache */

/* Of one row; channels lie ``step`` apart. */
WIDE void unmix(const float *image, ptrdiff_t image_step, const float *reference, ptrdiff_t reference_step,
                const float *white, ptrdiff_t channels, ptrdiff_t pixels, float alike, float limit, float *out)
{
    float norm[BLOCK];
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        float *restrict a = out + start;
        for (ptrdiff_t c = 0; c < channels; c++) {
            const float *restrict lit = image + c * image_step + start;
            const float *restrict board = reference + c * reference_step + start;
            const float w = white[c];
            for (ptrdiff_t i = 0; i < count; i++) {
                const float span = w - board[i], above = (lit[i] - board[i]) * span;
                a[i] = c ? a[i] + above : above;
                norm[i] = c ? norm[i] + span * span : span * span;
            }
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            const float value = a[i] / (norm[i] < alike ? alike : norm[i]);
            const float within = value > limit ? limit : value < -limit ? -limit : value; /* NaN stays */
            a[i] = norm[i] < alike ? 0.0f : within;
        }
    }
}

/* Whether |W - B|^2 >= least, of one row; channels lie ``step`` apart. */
WIDE void contrast(const float *reference, ptrdiff_t step, const float *white, ptrdiff_t channels, ptrdiff_t pixels,
                   float least, uint8_t *restrict out)
{
    float norm[BLOCK];
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        for (ptrdiff_t c = 0; c < channels; c++) {
            const float *restrict board = reference + c * step + start;
            const float w = white[c];
            for (ptrdiff_t i = 0; i < count; i++) {
                const float span = w - board[i];
                norm[i] = c ? norm[i] + span * span : span * span;
            }
        }
        for (ptrdiff_t i = 0; i < count; i++)
            out[start + i] = norm[i] >= least;
    }
}

/* ---- sums over a mask -------------------------------------------------------------------- */

/* Adds to the sums of opacities as fixed point, rounded half to even, of one row.
 * Returns how many pixels under the mask are no number. */
WIDE ptrdiff_t opacity_sums(const float *opacity, const uint8_t *where, const uint8_t *saturated, ptrdiff_t pixels,
                            float one, float ceiling, int64_t *sums)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const int32_t edge = (int32_t)(ceiling * one + shift - shift);
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        const float *restrict a = opacity + start;
        const uint8_t *restrict in = where + start, *restrict full = saturated ? saturated + start : where + start;
        int32_t fixed[BLOCK], number = 0, sum = 0, positive = 0, bright = 0, clipped = 0, negative = 0, none = 0;
        int32_t low_squares = 0, high_squares = 0; /* of their low 16 bits and of the rest: 1024 of each fit */
        for (ptrdiff_t i = 0; i < count; i++) { /* ordered comparisons: NaN fails both and becomes the ceiling */
            const float least = a[i] > -ceiling ? a[i] : -ceiling, within = least < ceiling ? least : ceiling;
            fixed[i] = (int32_t)((within * one + shift) - shift) * (int32_t)in[i];
        }
        for (ptrdiff_t i = 0; i < count; i++)
            none += (int32_t)(a[i] != a[i]) & (int32_t)in[i];
        for (ptrdiff_t i = 0; i < count; i++) {
            number += in[i];
            bright += (fixed[i] > 0 ? fixed[i] : 0) * (int32_t)full[i];
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            const int32_t v = fixed[i], up = v > 0 ? v : 0, down = v - up;
            const int32_t squared = down * down; /* 1.99^2 x 2^28 < 2^31 */
            sum += v;
            positive += up;
            clipped += (int32_t)(v >= edge) + (int32_t)(v <= -edge);
            negative += v < 0;
            low_squares += squared & 0xffff;
            high_squares += squared >> 16;
        }
        sums[0] += number;
        sums[1] += sum;
        sums[2] += positive;
        sums[3] += bright;
        sums[4] += clipped;
        sums[5] += negative;
        sums[6] += ((int64_t)high_squares << 16) + low_squares;
        missing += none;
    }
    return missing;
}

/* Adds how many values under the mask lie above each level, of one row. */
WIDE void counts_above(const float *plane, const uint8_t *where, ptrdiff_t pixels, const float *levels, ptrdiff_t number,
                       int64_t *above)
{
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        for (ptrdiff_t k = 0; k < number; k++) {
            const float level = levels[k];
            int32_t found = 0;
            for (ptrdiff_t i = 0; i < count; i++)
                found += (plane[start + i] > level) & (where[start + i] != 0);
            above[k] += found;
        }
    }
}
