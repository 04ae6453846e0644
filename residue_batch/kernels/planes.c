/* Inner loops of steps and measures on single planes.
 *
 * As in loops.c nothing is contracted or re-associated, and what is summed is integers: a pixel has the same bits in
 * any tile. Masks are bytes of 0 and 1.
 */
#include "planes.h"

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

/* Codes divided by full scale. */
WIDE void shares_u8(const uint8_t *restrict codes, ptrdiff_t count, float *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = SHARE(codes[i]);
}

WIDE void shares_u16(const uint16_t *restrict codes, ptrdiff_t count, float *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = (float)codes[i] / 65535.0f;
}

/* ---- cells and fields -------------------------------------------------------------------- */

/* Adds up to ``CELL_ROWS`` rows of one cell to its lines of sums and numbers: fixed point, 0 outside the mask; row k
 * counts ``share[k]`` times for the cell below and the rest of ``parts`` times for the one above. Doubles hold such
 * integers exactly. The rows lie side by side, so that sums stay in registers. Returns how many are no number. */
WIDE ptrdiff_t cell_rows(plane_t plane, ptrdiff_t top, const uint8_t *where, ptrdiff_t where_step, ptrdiff_t rows,
                         ptrdiff_t count, float one, float largest, int32_t parts, const int32_t *share,
                         double *restrict sums_up, double *restrict sums_down, int32_t *restrict number_up,
                         int32_t *restrict number_down)
{
    enum { SIDE = 64 };
    int32_t low[CELL_ROWS] = {0};
    ptrdiff_t missing = 0;
    for (ptrdiff_t k = 0; k < rows; k++)
        low[k] = share[k];
    for (ptrdiff_t start = 0; start < count; start += SIDE) {
        const ptrdiff_t here = count - start < SIDE ? count - start : SIDE;
        int16_t number[SIDE] = {0}, under[SIDE] = {0};
        double sum[SIDE], below[SIDE];
        for (ptrdiff_t k = 0; k < rows; k++) {
            const uint8_t *restrict mask = where + k * where_step + start;
            for (int i = 0; i < here; i++) {
                number[i] += mask[i];
                under[i] += (int16_t)(mask[i] * low[k]);
            }
        }
        if (plane.codes) {
            int32_t total[SIDE] = {0}, part[SIDE] = {0};
            for (ptrdiff_t k = 0; k < rows; k++) {
                const uint8_t *restrict row = plane.codes + (top + k) * plane.step + start;
                const uint8_t *restrict mask = where + k * where_step + start;
                for (int i = 0; i < here; i++) {
                    const int32_t code = row[i] * mask[i];
                    const int32_t fixed = code * 257 + (code >> 7); /* code / FULL x CODE_ONE, rounded */
                    total[i] += fixed;
                    part[i] += fixed * low[k];
                }
            }
            for (int i = 0; i < here; i++) {
                sum[i] = total[i];
                below[i] = part[i];
            }
        } else {
            float fixed[CELL_ROWS][SIDE] = {{0}};
            int32_t none = 0;
            for (ptrdiff_t k = 0; k < rows; k++) {
                const float *restrict row = plane.values + (top + k) * plane.step + start;
                const uint8_t *restrict mask = where + k * where_step + start;
                for (int i = 0; i < here; i++) {
                    const float p = mask[i] ? row[i] : 0.0f;
                    const float least = p > -largest ? p : -largest, within = least < largest ? least : largest;
                    fixed[k][i] = __builtin_rintf(within * one);
                    none += p != p;
                }
            }
            missing += none;
            for (int i = 0; i < here; i++) {
                double all = 0.0, some = 0.0;
                for (int k = 0; k < CELL_ROWS; k++) {
                    all += (double)fixed[k][i];
                    some += (double)fixed[k][i] * low[k];
                }
                sum[i] = all;
                below[i] = some;
            }
        }
        for (int i = 0; i < here; i++) {
            sums_up[start + i] += sum[i] * parts - below[i];
            sums_down[start + i] += below[i];
            number_up[start + i] += number[i] * parts - under[i];
            number_down[start + i] += under[i];
        }
    }
    return missing;
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

/* Asks for what is soon read: a row of a tile is a new page, which nothing foresees. */
void fetch(const void *start, ptrdiff_t bytes)
{
    for (ptrdiff_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)start + i);
}

/* Rows of a field: three lines of sums, each times the weight that it has for a row, over the same of numbers; 0 where
 * there is none. With a plane, that minus the field. Rows side by side share the lines. */
INLINE void some_rows(const float *sums, const float *numbers, ptrdiff_t count, int rows, const float *w,
                      const float *plane, ptrdiff_t step, float *out)
{
    typedef float lanes_t __attribute__((vector_size(64), aligned(4), may_alias));
    typedef int32_t bits_t __attribute__((vector_size(64)));
    enum { LANES = 16 };
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const lanes_t a = *(const lanes_t *)(sums + i), p = *(const lanes_t *)(numbers + i);
        const lanes_t b = *(const lanes_t *)(sums + count + i), q = *(const lanes_t *)(numbers + count + i);
        const lanes_t c = *(const lanes_t *)(sums + 2 * count + i), r = *(const lanes_t *)(numbers + 2 * count + i);
        for (int k = 0; k < rows; k++) {
            const lanes_t sum = a * w[3 * k] + b * w[3 * k + 1] + c * w[3 * k + 2];
            const lanes_t number = p * w[3 * k] + q * w[3 * k + 1] + r * w[3 * k + 2];
            const bits_t field = (bits_t)(sum / number) & (number > 0.0f);
            lanes_t *to = (lanes_t *)(out + k * count + i);
            if (plane)
                *to = *(const lanes_t *)(plane + k * step + i) - (lanes_t)field;
            else
                *to = (lanes_t)field;
        }
    }
    for (; i < count; i++)
        for (int k = 0; k < rows; k++) {
            const float *sum_of = sums + i, *number_of = numbers + i, *v = w + 3 * k;
            const float sum = sum_of[0] * v[0] + sum_of[count] * v[1] + sum_of[2 * count] * v[2];
            const float number = number_of[0] * v[0] + number_of[count] * v[1] + number_of[2 * count] * v[2];
            const float field = number > 0.0f ? sum / number : 0.0f;
            out[k * count + i] = plane ? plane[k * step + i] - field : field;
        }
}

WIDE void spline(const float *sums, const float *numbers, ptrdiff_t count, ptrdiff_t rows, const float *w,
                 const float *plane, ptrdiff_t step, float *out)
{
    ptrdiff_t k = 0;
    for (; k + 4 <= rows; k += 4)
        some_rows(sums, numbers, count, 4, w + 3 * k, plane ? plane + k * step : NULL, step, out + k * count);
    for (; k < rows; k++)
        some_rows(sums, numbers, count, 1, w + 3 * k, plane ? plane + k * step : NULL, step, out + k * count);
}

/* ---- sums over a mask -------------------------------------------------------------------- */

/* Adds a row to a histogram; what lies beyond its ends counts there. Returns how many are no number. */
WIDE ptrdiff_t histogram(const float *plane, const uint8_t *where, ptrdiff_t count, float low, float scale,
                         int32_t bins, uint32_t *counts)
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
        ptrdiff_t i = 0;
        for (; i + 4 <= here; i += 4)
            counts[bin[i]]++, counts[bin[i + 1]]++, counts[bin[i + 2]]++, counts[bin[i + 3]]++;
        for (; i < here; i++)
            counts[bin[i]]++;
        missing += none;
    }
    return missing;
}

/* Adds a row of fixed point under the mask, less that of another plane if there is one, to lines of sums and numbers;
 * ``totals`` are those of either plane. Returns how many are no number. */
WIDE ptrdiff_t difference_row(const float *plane, const float *other, const uint8_t *where, ptrdiff_t count, float one,
                              float ceiling, int32_t *restrict sums, int32_t *restrict number, int64_t *totals)
{
    ptrdiff_t missing = 0;
    for (ptrdiff_t start = 0; start < count; start += BLOCK) {
        const ptrdiff_t stop = count - start < BLOCK ? count : start + BLOCK;
        int32_t none = 0, total = 0, total_other = 0; /* a block of fixed points fits */
        for (ptrdiff_t i = start; i < stop; i++) {
            const float p = where[i] ? plane[i] : 0.0f, q = other && where[i] ? other[i] : 0.0f;
            const float least = p > -ceiling ? p : -ceiling, within = least < ceiling ? least : ceiling;
            const float least_q = q > -ceiling ? q : -ceiling, within_q = least_q < ceiling ? least_q : ceiling;
            const int32_t fixed = (int32_t)((within * one + ROUNDING) - ROUNDING);
            const int32_t fixed_q = (int32_t)((within_q * one + ROUNDING) - ROUNDING);
            total += fixed;
            total_other += fixed_q;
            sums[i] += fixed - fixed_q;
            number[i] += where[i];
            none += (p != p) + (q != q);
        }
        totals[0] += total;
        totals[1] += total_other;
        missing += none;
    }
    return missing;
}

/* Adds up the columns of cells of 4 px. */
WIDE void sum_of_fours(const int32_t *restrict sums, const int32_t *restrict number, ptrdiff_t cells, float *restrict out,
                       uint8_t *restrict out_number)
{
    for (ptrdiff_t i = 0; i < cells; i++) {
        out[i] = (float)(sums[4 * i] + sums[4 * i + 1] + sums[4 * i + 2] + sums[4 * i + 3]);
        out_number[i] = (uint8_t)(number[4 * i] + number[4 * i + 1] + number[4 * i + 2] + number[4 * i + 3]);
    }
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
