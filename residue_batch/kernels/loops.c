/* Inner loops: one pass over a tile each, no allocation, no state. A blur reaches at most BLUR_MOST pixels.
 *
 * Floating point is kept reproducible: no contraction, no re-association (the build sets
 * -ffp-contract=off and not -ffast-math), so a pixel has the same bits in any tile, with any
 * vector width. Sums are of integers.
 */
#include "loops.h"

/* ---- Gaussian blur ----------------------------------------------------------------------- */

INLINE ptrdiff_t clamped(ptrdiff_t i, ptrdiff_t count) { return i < 0 ? 0 : i < count ? i : count - 1; }

/* One row blurred down the columns, with its edge pixels repeated ``radius`` times on either side. */
INLINE void down(const uint16_t *restrict plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row,
                 const float *restrict weights, const int radius, float *restrict line)
{
    float *restrict sum = line + radius;
    const uint16_t *from[2 * BLUR_MOST + 1];
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

/* u16 of every ``every``-th pixel of every ``every_row``-th row of the blurred plane, inside a window of it. */
#define BLUR_EVERY(RADIUS)                                                                                             \
    for (ptrdiff_t r = 0; r < window.rows; r += every_row) {                                                               \
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

WIDEST void blur_every(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                     int radius, ptrdiff_t every_row, ptrdiff_t every, box_t window, float *line,
                     uint16_t *restrict out)
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

WIDEST void blur_scale(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                     int radius, const float *factor, ptrdiff_t apart, ptrdiff_t past, float gain, float *line,
                     float *out)
{
    FOR_EACH_RADIUS(BLUR_SCALE)
}

WIDEST void scale(const uint16_t *light, ptrdiff_t count, float factor, float *restrict out)
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
WIDEST void contrast(const float *reference, ptrdiff_t step, const float *white, ptrdiff_t channels, ptrdiff_t pixels,
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
WIDEST ptrdiff_t opacity_sums(const float *opacity, const uint8_t *where, const uint8_t *saturated, ptrdiff_t pixels,
                            float one, float ceiling, int64_t *sums)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const int32_t edge = (int32_t)(ceiling * one + shift - shift);
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        const float *restrict a = opacity + start;
        const uint8_t *restrict in = where + start, *restrict full = saturated + start;
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

/* Adds of a row: pixels under the mask, how many of them are negative as fixed point, and the sum of their squares.
 * Returns how many are no number. */
WIDEST ptrdiff_t negative_sums(const float *opacity, const uint8_t *where, ptrdiff_t pixels, float one, float ceiling,
                             int64_t *sums)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < pixels; start += BLOCK) {
        const ptrdiff_t count = pixels - start < BLOCK ? pixels - start : BLOCK;
        const float *restrict a = opacity + start;
        const uint8_t *restrict in = where + start;
        int32_t fixed[BLOCK], number = 0, negative = 0, none = 0, low_squares = 0, high_squares = 0;
        for (ptrdiff_t i = 0; i < count; i++) { /* NaN fails the comparison and becomes the lowest */
            const float least = a[i] > -ceiling ? a[i] : -ceiling, within = least < 0.0f ? least : 0.0f;
            fixed[i] = (int32_t)((within * one + shift) - shift) * (int32_t)in[i];
        }
        for (ptrdiff_t i = 0; i < count; i++)
            none += (int32_t)(a[i] != a[i]) & (int32_t)in[i];
        for (ptrdiff_t i = 0; i < count; i++) {
            const int32_t squared = fixed[i] * fixed[i]; /* 1.99^2 x 2^28 < 2^31 */
            number += in[i];
            negative += fixed[i] < 0;
            low_squares += squared & 0xffff;
            high_squares += squared >> 16;
        }
        sums[0] += number;
        sums[1] += negative;
        sums[2] += ((int64_t)high_squares << 16) + low_squares;
        missing += none;
    }
    return missing;
}

/* Adds how many values under the mask lie above each level, of one row. */
WIDEST void counts_above(const float *plane, const uint8_t *where, ptrdiff_t pixels, const float *levels, ptrdiff_t number,
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

/* ---- differences along a row ------------------------------------------------------------- */

/* Each pixel of a row is stored as what it differs by from the one before, channel by channel. */
#define RUNNING(NAME, CODE)                                                                                            \
    void NAME(const CODE *differences, ptrdiff_t pixels, ptrdiff_t channels, CODE *restrict out)                       \
    {                                                                                                                  \
        if (channels == 3) {                                                                                           \
            CODE a = 0, b = 0, c = 0;                                                                                  \
            for (ptrdiff_t i = 0; i < 3 * pixels; i += 3) {                                                            \
                out[i] = a = (CODE)(a + differences[i]);                                                               \
                out[i + 1] = b = (CODE)(b + differences[i + 1]);                                                       \
                out[i + 2] = c = (CODE)(c + differences[i + 2]);                                                       \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        for (ptrdiff_t i = 0; i < channels * pixels; i++)                                                              \
            out[i] = (CODE)(differences[i] + (i < channels ? 0 : out[i - channels]));                                  \
    }

RUNNING(running_u8, uint8_t)
RUNNING(running_u16, uint16_t)
