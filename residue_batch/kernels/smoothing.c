/* Smoothing: of a plane inside a mask, and of a grid of cells.
 *
 * As in planes.c nothing is contracted or re-associated: a pixel has the same bits in any tile.
 */
#include "planes.h"

#include <stdlib.h>
#include <string.h>

#define STRIP 32    /* rows whose padded copy stays in the second cache */
#define STRETCH 256 /* columns of all rows under a kernel that stay in the first cache */
#define PIECE 64    /* columns that are looked at together for holes of the mask */
#define LANES 16

typedef float lanes_t __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double wide_lanes_t __attribute__((vector_size(4 * LANES), aligned(8), may_alias)); /* half as many */

/* to[i] = w[0] from[i] + w[1] (from[i - apart] + from[i + apart]) + ..., from the first to the last. */
#define TAPS(NAME, VALUE, MANY)                                                                                        \
    INLINE void NAME(const VALUE *from, ptrdiff_t apart, ptrdiff_t count, const VALUE *w, int radius, VALUE *to)       \
    {                                                                                                                  \
        enum { SIZE = sizeof(MANY) / sizeof(VALUE) };                                                                  \
        ptrdiff_t i = 0;                                                                                               \
        for (; i + 4 * SIZE <= count; i += 4 * SIZE) { /* four sums at once hide each other's waits */                 \
            const VALUE *at = from + i, *up = at, *down = at;                                                          \
            MANY a = *(const MANY *)at * w[0], b = *(const MANY *)(at + SIZE) * w[0];                                  \
            MANY c = *(const MANY *)(at + 2 * SIZE) * w[0], d = *(const MANY *)(at + 3 * SIZE) * w[0];                 \
            for (int k = 1; k <= radius; k++) {                                                                        \
                up -= apart, down += apart;                                                                            \
                a = a + (*(const MANY *)up + *(const MANY *)down) * w[k];                                              \
                b = b + (*(const MANY *)(up + SIZE) + *(const MANY *)(down + SIZE)) * w[k];                            \
                c = c + (*(const MANY *)(up + 2 * SIZE) + *(const MANY *)(down + 2 * SIZE)) * w[k];                    \
                d = d + (*(const MANY *)(up + 3 * SIZE) + *(const MANY *)(down + 3 * SIZE)) * w[k];                    \
            }                                                                                                          \
            *(MANY *)(to + i) = a, *(MANY *)(to + i + SIZE) = b;                                                       \
            *(MANY *)(to + i + 2 * SIZE) = c, *(MANY *)(to + i + 3 * SIZE) = d;                                        \
        }                                                                                                              \
        for (; i + SIZE <= count; i += SIZE) {                                                                         \
            const VALUE *at = from + i;                                                                                \
            MANY sum = *(const MANY *)at * w[0];                                                                       \
            for (int k = 1; k <= radius; k++)                                                                          \
                sum = sum + (*(const MANY *)(at - k * apart) + *(const MANY *)(at + k * apart)) * w[k];                \
            *(MANY *)(to + i) = sum;                                                                                   \
        }                                                                                                              \
        for (; i < count; i++) {                                                                                       \
            VALUE sum = from[i] * w[0];                                                                                \
            for (int k = 1; k <= radius; k++)                                                                          \
                sum = sum + (from[i - k * apart] + from[i + k * apart]) * w[k];                                        \
            to[i] = sum;                                                                                               \
        }                                                                                                              \
    }

TAPS(taps, float, lanes_t)
TAPS(wide_taps, double, wide_lanes_t)

/* Four sums of taps one after the other, ``apart`` values from each other like the taps, of LANES columns each: what
 * they read they share. */
INLINE void four_taps(const float *from, ptrdiff_t apart, const float *w, int radius, float *to, ptrdiff_t to_apart)
{
    lanes_t sum[4], up[4], down[4];
    for (int j = 0; j < 4; j++) {
        up[j] = down[j] = *(const lanes_t *)(from + j * apart);
        sum[j] = up[j] * w[0];
    }
    const float *above = from, *below = from + 3 * apart;
    for (int k = 1; k <= radius; k++) {
        above -= apart, below += apart;
        up[3] = up[2], up[2] = up[1], up[1] = up[0], up[0] = *(const lanes_t *)above;
        down[0] = down[1], down[1] = down[2], down[2] = down[3], down[3] = *(const lanes_t *)below;
        for (int j = 0; j < 4; j++)
            sum[j] = sum[j] + (up[j] + down[j]) * w[k];
    }
    for (int j = 0; j < 4; j++)
        *(lanes_t *)(to + j * to_apart) = sum[j];
}

/* Rows become columns: a square of LANES. */
INLINE void turn(const float *from, ptrdiff_t apart, float *to, ptrdiff_t to_apart)
{
    typedef float four_t __attribute__((vector_size(16), aligned(4), may_alias));
    typedef int32_t pick_t __attribute__((vector_size(16)));
    const pick_t low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, first = {0, 1, 4, 5}, second = {2, 3, 6, 7};
    for (int r = 0; r < LANES; r += 4)
        for (int c = 0; c < LANES; c += 4) {
            const float *at = from + r * apart + c;
            float *into = to + c * to_apart + r;
            const four_t a = *(const four_t *)at, b = *(const four_t *)(at + apart);
            const four_t d = *(const four_t *)(at + 2 * apart), e = *(const four_t *)(at + 3 * apart);
            const four_t ab = __builtin_shuffle(a, b, low), de = __builtin_shuffle(d, e, low);
            const four_t under = __builtin_shuffle(a, b, high), beside = __builtin_shuffle(d, e, high);
            *(four_t *)into = __builtin_shuffle(ab, de, first);
            *(four_t *)(into + to_apart) = __builtin_shuffle(ab, de, second);
            *(four_t *)(into + 2 * to_apart) = __builtin_shuffle(under, beside, first);
            *(four_t *)(into + 3 * to_apart) = __builtin_shuffle(under, beside, second);
        }
}

/* The same down the columns of a mask. */
INLINE void taps_of_mask(const uint8_t *where, ptrdiff_t step, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t count,
                         const float *w, int radius, float *restrict to)
{
    for (ptrdiff_t i = 0; i < count; i++)
        to[i] = (float)where[row * step + i] * w[0];
    for (int k = 1; k <= radius; k++) {
        const uint8_t *up = row >= k ? where + (row - k) * step : NULL;
        const uint8_t *down = row + k < rows ? where + (row + k) * step : NULL;
        if (up && down)
            for (ptrdiff_t i = 0; i < count; i++)
                to[i] = to[i] + (float)(up[i] + down[i]) * w[k];
        else if (up || down) {
            const uint8_t *one = up ? up : down;
            for (ptrdiff_t i = 0; i < count; i++)
                to[i] = to[i] + (float)one[i] * w[k];
        }
    }
}

INLINE int is_full(const uint8_t *where, ptrdiff_t count)
{
    uint8_t all = 1;
    for (ptrdiff_t i = 0; i < count; i++)
        all &= where[i];
    return all;
}

/* G(plane x where) / G(where) with G separable, down and then, on the turned rows, across: what is summed alike lies
 * side by side, and nothing is read from two lines of the cache at once. A piece of a row whose surroundings hold no
 * hole takes the weight of a full mask, which is the same sum of the same numbers. */
WIDE int smooth_inside(plane_t plane, const uint8_t *where, ptrdiff_t where_step, ptrdiff_t rows, ptrdiff_t cols,
                       const float *weights, int radius, float tiny, float *out)
{
    const ptrdiff_t pieces = (cols + PIECE - 1) / PIECE, near = (radius + PIECE - 1) / PIECE;
    /* rows begin on lines of the cache; rows a page apart would share their places in it */
    const ptrdiff_t edge = (radius + LANES - 1) / LANES * LANES;
    ptrdiff_t wide = (cols + 2 * edge + LANES - 1) / LANES * LANES;
    wide += wide % 1024 ? 0 : LANES;
    float *room = calloc((size_t)((2 * STRIP + 2 * radius + 1 + LANES) * wide + LANES), sizeof *room);
    float *strip = room + (LANES - (uintptr_t)room / sizeof *room % LANES) % LANES;
    int32_t *holes = calloc((size_t)((rows + 2) * pieces), sizeof *holes);
    if (!room || !holes) {
        free(room);
        free(holes);
        return 0;
    }
    float *down = strip + (STRIP + 2 * radius) * wide, *turned = down + STRIP * wide, *weight = turned + LANES * wide;
    int32_t *around = holes + rows * pieces, *filled = around + pieces;
    /* pieces with a hole, summed over the rows above: the holes within reach are a difference of two */
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t p = 0; p < pieces; p++) {
            const ptrdiff_t count = cols - p * PIECE < PIECE ? cols - p * PIECE : PIECE;
            holes[r * pieces + p] = (r ? holes[(r - 1) * pieces + p] : 0) +
                                    !is_full(where + r * where_step + p * PIECE, count);
        }
    ptrdiff_t have = 0; /* rows of the strip that are filled, the first of them ``radius`` above the strip */
    for (ptrdiff_t top = 0; top < rows; top += STRIP) {
        const ptrdiff_t count = rows - top < STRIP ? rows - top : STRIP;
        if (have) {
            memmove(strip, strip + STRIP * wide, (size_t)(2 * radius * wide) * sizeof *strip);
            have = 2 * radius;
        }
        for (; have < count + 2 * radius; have++) {
            const ptrdiff_t from = top - radius + have;
            float *restrict to = strip + have * wide + edge;
            if (from < 0 || from >= rows) {
                memset(to, 0, (size_t)cols * sizeof *to);
                continue;
            }
            const uint8_t *restrict in = where + from * where_step;
            if (plane.codes) {
                const uint8_t *restrict p = plane.codes + from * plane.step;
                for (ptrdiff_t i = 0; i < cols; i++)
                    to[i] = SHARE(p[i] * in[i]);
            } else {
                const float *restrict p = plane.values + from * plane.step;
                for (ptrdiff_t i = 0; i < cols; i++)
                    to[i] = in[i] ? p[i] : 0.0f;
            }
        }
        for (ptrdiff_t left = 0; left < wide; left += STRETCH)
            for (ptrdiff_t r = 0; r < count; r += 4)
                for (ptrdiff_t i = left; i < left + STRETCH && i < wide; i += LANES)
                    four_taps(strip + (r + radius) * wide + i, wide, weights, radius, down + r * wide + i, wide);
        for (ptrdiff_t r = 0; r < count; r += LANES) {
            for (ptrdiff_t i = 0; i < wide; i += LANES)
                turn(down + r * wide + i, wide, turned + i * LANES, LANES);
            for (ptrdiff_t i = 0; i < cols; i += LANES) {
                float some[LANES * LANES] __attribute__((aligned(64))), last[LANES * LANES];
                for (int j = 0; j < LANES; j += 4)
                    four_taps(turned + (edge + i + j) * LANES, LANES, weights, radius, some + j * LANES, LANES);
                float *to = out + (top + r) * cols + i;
                if (r + LANES <= count && i + LANES <= cols) {
                    turn(some, LANES, to, cols);
                    continue;
                }
                turn(some, LANES, last, LANES);
                for (ptrdiff_t j = 0; j < LANES && r + j < count; j++)
                    memcpy(to + j * cols, last + j * LANES, (size_t)(cols - i < LANES ? cols - i : LANES) * sizeof *to);
            }
        }
        for (ptrdiff_t r = top; r < top + count; r++) {
            const ptrdiff_t last = r + radius < rows ? r + radius : rows - 1, first = r - radius - 1;
            float *restrict to = out + r * cols;
            float full = weights[0];
            for (int k = 1; k <= radius; k++)
                full = full + (float)((r >= k) + (r + k < rows)) * weights[k];
            float everywhere = full * weights[0];
            for (int k = 1; k <= radius; k++)
                everywhere = everywhere + (full + full) * weights[k];
            const float share = 1.0f / (everywhere > tiny ? everywhere : tiny);
            for (ptrdiff_t p = 0; p < pieces; p++) {
                const ptrdiff_t left = p * PIECE, width = cols - left < PIECE ? cols - left : PIECE;
                around[p] = holes[last * pieces + p] - (first >= 0 ? holes[first * pieces + p] : 0);
                if (around[p])
                    taps_of_mask(where + left, where_step, r, rows, width, weights, radius, weight + edge + left);
                else
                    for (ptrdiff_t i = 0; i < width; i++)
                        weight[edge + left + i] = full;
                filled[p] = !around[p] && width == PIECE;
            }
            for (ptrdiff_t p = 0; p < pieces; p++) {
                const ptrdiff_t left = p * PIECE, width = cols - left < PIECE ? cols - left : PIECE;
                int whole = p >= near && p + near < pieces;
                for (ptrdiff_t q = p - near; whole && q <= p + near; q++)
                    whole = filled[q] || (q + 1 == pieces && !around[q] && left + PIECE + radius <= cols);
                if (whole) {
                    for (ptrdiff_t i = 0; i < width; i++)
                        to[left + i] *= share;
                    continue;
                }
                float own[PIECE];
                taps(weight + edge + left, 1, width, weights, radius, own);
                for (ptrdiff_t i = 0; i < width; i++)
                    to[left + i] *= 1.0f / (own[i] > tiny ? own[i] : tiny);
            }
        }
    }
    free(room);
    free(holes);
    return 1;
}

/* A grid smoothed by a symmetric kernel, down then across; nothing lies around it. 0 when there is no memory. */
WIDE int smooth_grid(const double *grid, ptrdiff_t rows, ptrdiff_t cols, const double *weights, int radius,
                     double *out)
{
    double *padded = calloc((size_t)((rows + 2 * radius) * cols + cols + 2 * radius), sizeof *padded);
    if (!padded)
        return 0;
    double *line = padded + (rows + 2 * radius) * cols;
    memcpy(padded + radius * cols, grid, (size_t)(rows * cols) * sizeof *grid);
    for (ptrdiff_t r = 0; r < rows; r++) {
        wide_taps(padded + (r + radius) * cols, cols, cols, weights, radius, line + radius);
        wide_taps(line + radius, 1, cols, weights, radius, out + r * cols);
    }
    free(padded);
    return 1;
}
