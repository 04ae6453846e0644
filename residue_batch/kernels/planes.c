/* Inner loops of steps, measures and the store on single planes.
 *
 * As in loops.c nothing is contracted or re-associated, and what is summed is integers: a pixel has the same bits in
 * any tile. Masks are bytes of 0 and 1.
 */
#include "planes.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 1024              /* pixels that stay in the first cache */
#define ROUNDING 12582912.0f    /* 1.5 * 2^23: adding it rounds to an integer, half to even */

/* ---- codes ------------------------------------------------------------------------------- */

/* The smallest channel of each pixel of a row. */
#define LEAST(NAME, CODE)                                                                                              \
    WIDE void NAME(const CODE *codes, ptrdiff_t pixel, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count,         \
                   CODE *restrict out)                                                                                 \
    {                                                                                                                  \
        if (channels == 3 && pixel == 3 && channel == 1) {                                                             \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const CODE a = codes[3 * i], b = codes[3 * i + 1], c = codes[3 * i + 2];                               \
                const CODE least = a < b ? a : b;                                                                      \
                out[i] = least < c ? least : c;                                                                        \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        for (ptrdiff_t i = 0; i < count; i++)                                                                          \
            out[i] = codes[i * pixel];                                                                                 \
        for (ptrdiff_t c = 1; c < channels; c++)                                                                       \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const CODE other = codes[c * channel + i * pixel];                                                     \
                out[i] = other < out[i] ? other : out[i];                                                              \
            }                                                                                                          \
    }

LEAST(least_u8, uint8_t)
LEAST(least_u16, uint16_t)

/* The same divided by full scale. */
#define SHARES(NAME, CODE, LEAST)                                                                                      \
    WIDE void NAME(const CODE *codes, ptrdiff_t pixel, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count,         \
                   float full, float *restrict out)                                                                    \
    {                                                                                                                  \
        CODE least[BLOCK];                                                                                             \
        for (ptrdiff_t start = 0; start < count; start += BLOCK) {                                                     \
            const ptrdiff_t here = count - start < BLOCK ? count - start : BLOCK;                                      \
            LEAST(codes + start * pixel, pixel, channel, channels, here, least);                                       \
            for (ptrdiff_t i = 0; i < here; i++)                                                                       \
                out[start + i] = (float)least[i] / full;                                                               \
        }                                                                                                              \
    }

SHARES(least_share_u8, uint8_t, least_u8)
SHARES(least_share_u16, uint16_t, least_u16)

/* ---- smoothing inside a mask ------------------------------------------------------------- */

#define STRIP 64  /* rows whose padded copy stays in the second cache */
#define STRETCH 512 /* columns of all rows under a kernel that stay in the first cache */
#define PIECE 64  /* columns that are looked at together for holes of the mask */
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

/* G(plane x where) / G(where) with G separable, down then across. A piece of a row whose surroundings hold no hole
 * takes the weight of a full mask, which is the same sum of the same numbers. */
WIDE int smooth_inside(const float *plane, ptrdiff_t plane_step, const uint8_t *where, ptrdiff_t where_step,
                       ptrdiff_t rows, ptrdiff_t cols, const float *weights, int radius, float tiny, float *out)
{
    const ptrdiff_t pieces = (cols + PIECE - 1) / PIECE, near = (radius + PIECE - 1) / PIECE;
    /* rows begin on lines of the cache; rows a page apart would share their places in it */
    const ptrdiff_t edge = (radius + LANES - 1) / LANES * LANES;
    ptrdiff_t wide = (cols + 2 * edge + LANES - 1) / LANES * LANES;
    wide += wide % 1024 ? 0 : LANES;
    float *room = calloc((size_t)((STRIP + 2 * radius + 2) * wide + LANES), sizeof *room);
    float *strip = room + (LANES - (uintptr_t)room / sizeof *room % LANES) % LANES;
    int32_t *holes = calloc((size_t)((rows + 2) * pieces), sizeof *holes);
    if (!room || !holes) {
        free(room);
        free(holes);
        return 0;
    }
    float *down = strip + (STRIP + 2 * radius) * wide, *weight = down + wide;
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
            const float *restrict p = plane + from * plane_step;
            const uint8_t *restrict in = where + from * where_step;
            for (ptrdiff_t i = 0; i < cols; i++)
                to[i] = in[i] ? p[i] : 0.0f;
        }
        for (ptrdiff_t left = 0; left < cols; left += STRETCH) {
            const ptrdiff_t width = cols - left < STRETCH ? cols - left : STRETCH;
            for (ptrdiff_t r = 0; r < count; r++) {
                taps(strip + (r + radius) * wide + left, wide, width + 2 * edge, weights, radius, down);
                taps(down + edge, 1, width, weights, radius, out + (top + r) * cols + left);
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

/* ---- cells and fields -------------------------------------------------------------------- */

/* Fixed point of a row, 0 outside the mask; its lines of sums and numbers, each row by its weights for the cells
 * above and below. Doubles hold such integers exactly. Returns how many are no number. */
WIDE ptrdiff_t cell_rows(const float *restrict plane, const uint8_t *restrict where, ptrdiff_t count, float one,
                         float largest, int32_t up, int32_t down, double *restrict sums_up, double *restrict sums_down,
                         int32_t *restrict number_up, int32_t *restrict number_down)
{
    int32_t none = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const float p = where[i] ? plane[i] : 0.0f;
        const float least = p > -largest ? p : -largest, within = least < largest ? least : largest;
        const double fixed = (double)__builtin_rintf(within * one);
        sums_up[i] += fixed * up;
        sums_down[i] += fixed * down;
        number_up[i] += where[i] * up;
        number_down[i] += where[i] * down;
        none += p != p;
    }
    return none;
}

/* Takes a line of sums apart into cells: pixel i lies ``share[i]`` (of ``parts``) of the way from cell ``cell[i]`` to
 * the next. */
WIDE void cells_of_line(const double *sums, const int32_t *number, ptrdiff_t count, const int32_t *cell,
                        const int32_t *share, int32_t parts, int64_t *out_sums, int64_t *out_number)
{
    for (ptrdiff_t start = 0; start < count; start += BLOCK) {
        const ptrdiff_t stop = count - start < BLOCK ? count : start + BLOCK;
        int64_t later[BLOCK];
        int32_t late[BLOCK];
        for (ptrdiff_t i = start; i < stop; i++) {
            later[i - start] = (int64_t)(sums[i] * share[i]);
            late[i - start] = number[i] * share[i];
        }
        for (ptrdiff_t i = start; i < stop;) { /* pixels of a cell lie side by side */
            const int32_t here = cell[i];
            double sum = 0.0;
            int64_t next = 0;
            int32_t many = 0, more = 0;
            for (; i < stop && cell[i] == here; i++) {
                sum += sums[i];
                next += later[i - start];
                many += number[i];
                more += late[i - start];
            }
            out_sums[here] += (int64_t)sum * parts - next;
            out_sums[here + 1] += next;
            out_number[here] += (int64_t)many * parts - more;
            out_number[here + 1] += more;
        }
    }
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

/* A line of a field: three neighbours in a row of cells, each times its weight. */
WIDE void spline_line(const float *restrict cells, const int32_t *restrict at, const float *restrict weights,
                      ptrdiff_t count, float *restrict out)
{
    typedef float eight_t __attribute__((vector_size(32), aligned(4), may_alias));
    const float *restrict second = weights + count, *restrict third = second + count;
    ptrdiff_t i = 0;
    while (i < count) { /* pixels of a cell lie side by side; eight at once, of which the next cell puts right its own */
        const float *c = cells + at[i];
        ptrdiff_t end = i + 1;
        while (end < count && at[end] == at[i])
            end++;
        for (; i < end && i + 8 <= count; i += 8)
            *(eight_t *)(out + i) = c[0] * *(const eight_t *)(weights + i) + c[1] * *(const eight_t *)(second + i) +
                                    c[2] * *(const eight_t *)(third + i);
        for (; i < end; i++)
            out[i] = c[0] * weights[i] + c[1] * second[i] + c[2] * third[i];
        i = end;
    }
}

/* Whether a bit is set. */
#define HAS_BIT(NAME, BITS)                                                                                            \
    WIDE void NAME(const BITS *restrict bits, ptrdiff_t count, uint32_t bit, uint8_t *restrict out)                    \
    {                                                                                                                  \
        for (ptrdiff_t i = 0; i < count; i++)                                                                          \
            out[i] = (bits[i] & (BITS)bit) != 0;                                                                       \
    }

HAS_BIT(has_bit_u8, uint8_t)
HAS_BIT(has_bit_u16, uint16_t)
HAS_BIT(has_bit_u32, uint32_t)

/* A row of a field: three lines of sums, each times its weight, over the same of numbers; 0 where there is none. */
WIDE void spline(const float *restrict sums, const float *restrict numbers, ptrdiff_t count, const float *w,
                 float *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        const float sum = sums[i] * w[0] + sums[count + i] * w[1] + sums[2 * count + i] * w[2];
        const float number = numbers[i] * w[0] + numbers[count + i] * w[1] + numbers[2 * count + i] * w[2];
        out[i] = number > 0.0f ? sum / number : 0.0f;
    }
}

/* ---- sums over a mask -------------------------------------------------------------------- */

/* Adds a row to a histogram; what lies beyond its ends counts there. Returns how many are no number. */
WIDE ptrdiff_t histogram(const float *plane, const uint8_t *where, ptrdiff_t count, float low, float scale,
                         int32_t bins, int64_t *counts)
{
    ptrdiff_t missing = 0;
    const float last = (float)(bins - 1);
    for (ptrdiff_t start = 0; start < count; start += BLOCK) {
        const ptrdiff_t here = count - start < BLOCK ? count - start : BLOCK;
        const float *restrict p = plane + start;
        const uint8_t *restrict in = where + start;
        int32_t bin[BLOCK], none = 0;
        for (ptrdiff_t i = 0; i < here; i++) {
            const float at = (p[i] - low) * scale, least = at > 0.0f ? at : 0.0f, within = least < last ? least : last;
            bin[i] = in[i] ? (int32_t)((within + ROUNDING) - ROUNDING) : bins;
            none += (int32_t)(p[i] != p[i]) & (int32_t)in[i];
        }
        for (ptrdiff_t i = 0; i < here; i++)
            counts[bin[i]]++;
        missing += none;
    }
    return missing;
}

/* Adds of a row: pixels that count, those of them in the mask, and the fixed-point total of the plane there. Returns
 * how many of these are no number. */
WIDE ptrdiff_t cover_sums(const uint8_t *mask, const float *plane, const uint8_t *where, ptrdiff_t count, float one,
                          float ceiling, int64_t *sums)
{
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < count; start += BLOCK) {
        const ptrdiff_t here = count - start < BLOCK ? count - start : BLOCK;
        const float *restrict a = plane + start;
        const uint8_t *restrict in = where + start, *restrict on = mask + start;
        int32_t number = 0, inside = 0, total = 0, none = 0;
        for (ptrdiff_t i = 0; i < here; i++) {
            number += in[i];
            inside += in[i] & on[i];
        }
        sums[0] += number;
        if (!inside)
            continue;
        for (ptrdiff_t i = 0; i < here; i++) {
            const int32_t counts = in[i] & on[i];
            const float least = a[i] > -ceiling ? a[i] : -ceiling, within = least < ceiling ? least : ceiling;
            total += (int32_t)((within * one + ROUNDING) - ROUNDING) * counts;
            none += (int32_t)(a[i] != a[i]) & counts;
        }
        sums[1] += inside;
        sums[2] += total;
        missing += none;
    }
    return missing;
}

/* ---- codes for the store ----------------------------------------------------------------- */

/* out = rint(factor plane - shift), cut to a byte; adds how many were cut. Returns how many are no number. */
WIDE ptrdiff_t quantise(const float *restrict plane, ptrdiff_t count, float factor, float shift,
                        uint8_t *restrict out, ptrdiff_t *clipped)
{
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < count; start += BLOCK) {
        const ptrdiff_t here = count - start < BLOCK ? count - start : BLOCK;
        const float *restrict p = plane + start;
        int32_t code[BLOCK], cut = 0, none = 0;
        for (ptrdiff_t i = 0; i < here; i++) {
            const float x = p[i] * factor - shift, least = x > -1.0f ? x : -1.0f, most = least < 256.0f ? least : 256.0f;
            code[i] = (int32_t)((most + ROUNDING) - ROUNDING);
            none += x != x;
        }
        for (ptrdiff_t i = 0; i < here; i++) {
            const int32_t up = code[i] > 0 ? code[i] : 0, within = up < 255 ? up : 255;
            cut += within != code[i];
            code[i] = within;
        }
        for (ptrdiff_t i = 0; i < here; i++)
            out[start + i] = (uint8_t)code[i];
        *clipped += cut;
        missing += none;
    }
    return missing;
}

/* ---- pyramids ---------------------------------------------------------------------------- */

/* Two rows become one of half the width, rounded up: the mean of four, half up, or whether any is set. The last column
 * of an odd width counts twice. */
WIDE void halve_means(const uint8_t *restrict top, const uint8_t *restrict bottom, ptrdiff_t width,
                      uint8_t *restrict out)
{
    for (ptrdiff_t i = 0; i < width / 2; i++)
        out[i] = (uint8_t)((top[2 * i] + top[2 * i + 1] + bottom[2 * i] + bottom[2 * i + 1] + 2) >> 2);
    if (width % 2)
        out[width / 2] = (uint8_t)((top[width - 1] + bottom[width - 1] + 1) >> 1);
}

WIDE void halve_any(const uint8_t *restrict top, const uint8_t *restrict bottom, ptrdiff_t width,
                    uint8_t *restrict out)
{
    for (ptrdiff_t i = 0; i < width / 2; i++)
        out[i] = top[2 * i] | top[2 * i + 1] | bottom[2 * i] | bottom[2 * i + 1];
    if (width % 2)
        out[width / 2] = top[width - 1] | bottom[width - 1];
}
