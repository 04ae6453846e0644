/* A shot, seen from the board frame: bilinear in linear light for what is measured, cubic in grey for registration. See
 * loops.h. */
#include "loops.h"

#include <stdlib.h>

#define BITS 8 /* of the sub-pixel position */
#define STEPS (1 << BITS)
#define BLOCK 256 /* pixels whose places stay in the first cache */

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

#define STRIP 16 /* rows of the frame whose patch of the shot stays in the second cache */

/* A pixel of a patch: up to four channels of linear light, one load. */
typedef float light_t __attribute__((vector_size(16)));
typedef int32_t level_t __attribute__((vector_size(16)));

/* The samples of a row from a patch of the shot, whose first pixel is (top, left). */
INLINE void interpolate(const light_t *restrict patch, ptrdiff_t stride, const int32_t *restrict at_x,
                        const int32_t *restrict at_y, int32_t top, int32_t left, ptrdiff_t cols,
                        const ptrdiff_t channels, uint16_t *restrict out, ptrdiff_t plane)
{
    for (ptrdiff_t start = 0; start < cols; start += BLOCK) {
        const ptrdiff_t here = cols - start < BLOCK ? cols - start : BLOCK;
        int32_t place[BLOCK];
        float fx[BLOCK], fy[BLOCK];
        for (ptrdiff_t i = 0; i < here; i++) {
            const int32_t x = at_x[start + i], y = at_y[start + i];
            place[i] = ((y >> BITS) - top) * (int32_t)stride + (x >> BITS) - left;
            fx[i] = (float)(x & (STEPS - 1)) / STEPS;
            fy[i] = (float)(y & (STEPS - 1)) / STEPS;
        }
        for (ptrdiff_t i = 0; i < here; i++) {
            const light_t *restrict p = patch + place[i], *restrict q = p + stride;
            const light_t upper = p[0] + (p[1] - p[0]) * fx[i], lower = q[0] + (q[1] - q[0]) * fx[i];
            const level_t light = __builtin_convertvector(upper + (lower - upper) * fy[i] + 0.5f, level_t);
            for (ptrdiff_t c = 0; c < channels; c++)
                out[c * plane + start + i] = (uint16_t)light[c];
        }
    }
}

/* Linear light of a part of the shot; its edges are repeated beyond them, by one pixel at most. */
#define PATCH(PIXEL, CHANNELS)                                                                                         \
    for (ptrdiff_t y = 0; y < part.rows; y++) {                                                                        \
        const ptrdiff_t from = part.top + y < height ? part.top + y : height - 1;                                      \
        const ptrdiff_t inside = part.left + part.cols <= width ? part.cols : width - part.left;                       \
        const PIXEL *restrict p = shot + (from * width + part.left) * (CHANNELS);                                      \
        light_t *restrict to = patch + y * part.cols;                                                                  \
        for (ptrdiff_t x = 0; from + 4 < height && x < inside * (CHANNELS) * (ptrdiff_t)sizeof *p; x += 64)            \
            __builtin_prefetch((const char *)(p + 4 * width * (CHANNELS)) + x);                                        \
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

/* ---- grey, by cubic convolution ----------------------------------------------------------- */

/* Weights of four neighbours at a distance of ``t`` beyond the second: a = -1/2 (Keys 1981). */
INLINE light_t cubic(float t)
{
    const float s = 1.0f - t;
    return (light_t){-0.5f * t * s * s, 1.0f + t * t * (1.5f * t - 2.5f), 1.0f + s * s * (1.5f * s - 2.5f),
                     -0.5f * s * t * t};
}

typedef float near_t __attribute__((vector_size(16), aligned(4), may_alias));

/* A box of the frame out of a grey photograph; edge pixels are repeated outwards. 0 when there is no memory. */
WIDE int cubic_window(const uint8_t *shot, photograph_t of, box_t box, float *restrict out)
{
    const ptrdiff_t size = box.rows * box.cols;
    int32_t *restrict at_x = malloc(3 * (size_t)size * sizeof *at_x), *restrict at_y = at_x + size;
    int32_t *restrict place = at_y + size;
    float *patch = NULL;
    if (at_x) {
        for (ptrdiff_t r = 0; r < box.rows; r++)
            positions(of.matrix, of.bend != NULL, of.bend, (double)(box.top + r), box.left, box.cols,
                      (double)(of.width - 1), (double)(of.height - 1), at_x + r * box.cols, at_y + r * box.cols);
        const box_t part = part_of(at_x, at_y, size);
        const ptrdiff_t rows = part.rows + 2, cols = part.cols + 2;
        patch = malloc((size_t)(rows * cols) * sizeof *patch);
        light_t weight[STEPS];
        for (int t = 0; t < STEPS; t++)
            weight[t] = cubic((float)t / STEPS);
        for (ptrdiff_t r = 0; patch && r < rows; r++) {
            const ptrdiff_t y = part.top + r - 1, row = y < 0 ? 0 : y < of.height ? y : of.height - 1;
            const uint8_t *p = shot + row * of.width;
            float *to = patch + r * cols;
            const ptrdiff_t first = part.left > 0 ? 0 : 1, last = of.width - part.left + 1;
            for (ptrdiff_t i = first; i < (cols < last ? cols : last); i++)
                to[i] = p[part.left + i - 1];
            if (first)
                to[0] = p[0];
            for (ptrdiff_t i = last; i < cols; i++)
                to[i] = p[of.width - 1];
        }
        for (ptrdiff_t i = 0; i < size; i++)
            place[i] = ((at_y[i] >> BITS) - (int32_t)part.top) * (int32_t)cols + (at_x[i] >> BITS) - (int32_t)part.left;
        for (ptrdiff_t i = 0; patch && i < size; i++) {
            const float *p = patch + place[i];
            const light_t down = weight[at_y[i] & (STEPS - 1)];
            light_t sum = *(const near_t *)p * down[0] + *(const near_t *)(p + cols) * down[1];
            sum += *(const near_t *)(p + 2 * cols) * down[2] + *(const near_t *)(p + 3 * cols) * down[3];
            sum *= weight[at_x[i] & (STEPS - 1)];
            out[i] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
        }
    }
    const int done = at_x && patch;
    free(at_x);
    free(patch);
    return done;
}
