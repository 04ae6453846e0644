/* Inner loops over masks: bytes of 0 and 1. */
#include "planes.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ------------------------------------------------------------------------------- */

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

/* Takes from a mask what is not in another, or with ``invert`` what is. */
WIDE void keep_row(const uint8_t *restrict mask, ptrdiff_t count, uint8_t invert, uint8_t *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] &= mask[i] ^ invert;
}

/* Where a row of a plane lies strictly above a level; of codes, from which code on. */
WIDE void above(const float *plane, ptrdiff_t count, float level, uint8_t *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = plane[i] > level;
}

WIDE void from_code(const uint8_t *codes, ptrdiff_t count, int32_t first, uint8_t *restrict out)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = codes[i] >= first;
}

/* Takes from a mask where a channel of a row is not above a level. */
WIDE void keep_above(const float *planes, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count, float level,
                     uint8_t *restrict mask)
{
    if (memchr(mask, 1, (size_t)count))
        for (ptrdiff_t c = 0; c < channels; c++)
            for (ptrdiff_t i = 0; i < count; i++)
                mask[i] &= planes[c * channel + i] > level;
}

/* ---- shapes ------------------------------------------------------------------------------ */

/* The mask grown by a shape that holds ``half[k]`` columns to either side k rows above and below, ever fewer as k
 * grows; with ``invert`` 1 what is not in the mask grows instead. Nothing grows in from outside. */
WIDE int grow_mask(const uint8_t *mask, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t cols, const int32_t *half,
                   int radius, uint8_t invert, uint8_t *restrict out)
{
    uint8_t *room = calloc((size_t)(2 * cols + 2 * radius), 1);
    if (!room)
        return 0;
    uint8_t *restrict line = room + radius, *restrict grown = room + cols + 2 * radius;
    memset(out, 0, (size_t)(rows * cols));
    for (ptrdiff_t r = 0; r < rows; r++) {
        const uint8_t *restrict in = mask + r * step;
        if (!memchr(in, !invert, (size_t)cols))
            continue; /* nothing here grows */
        if (!memchr(in, invert, (size_t)cols)) {
            const ptrdiff_t first = r > radius ? r - radius : 0, last = r + radius < rows ? r + radius : rows - 1;
            memset(out + first * cols, 1, (size_t)((last - first + 1) * cols));
            continue;
        }
        for (ptrdiff_t i = 0; i < cols; i++)
            grown[i] = line[i] = in[i] ^ invert;
        int wide = 0;
        for (int k = radius; k >= 0; k--) {
            while (wide < half[k]) {
                wide++;
                const uint8_t *before = line - wide, *after = line + wide;
                for (ptrdiff_t i = 0; i < cols; i++)
                    grown[i] |= before[i] | after[i];
            }
            uint8_t *restrict up = out + (r - k) * cols, *restrict down = out + (r + k) * cols;
            if (r - k >= 0)
                for (ptrdiff_t i = 0; i < cols; i++)
                    up[i] |= grown[i];
            if (k && r + k < rows)
                for (ptrdiff_t i = 0; i < cols; i++)
                    down[i] |= grown[i];
        }
    }
    if (invert)
        for (ptrdiff_t i = 0; i < rows * cols; i++)
            out[i] ^= 1;
    free(room);
    return 1;
}

/* ---- small objects ----------------------------------------------------------------------- */

typedef struct {
    int32_t left, right, parent, area; /* left <= column < right; area of the whole object at its root */
} run_t;

INLINE int32_t root_of(run_t *runs, int32_t i)
{
    while (runs[i].parent != i) {
        runs[i].parent = runs[runs[i].parent].parent;
        i = runs[i].parent;
    }
    return i;
}

/* The mask without objects of fewer than ``smallest`` pixels; runs of rows, joined by union-find. With ``corners``
 * pixels that touch at a corner are one object. */
int open_areas(const uint8_t *mask, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t cols, int32_t smallest, int corners,
               uint8_t *out)
{
    ptrdiff_t room = 4096, count = 0, above = 0, above_end = 0;
    run_t *runs = malloc((size_t)room * sizeof *runs);
    ptrdiff_t *ends = malloc((size_t)(rows + 1) * sizeof *ends);
    if (!runs || !ends) {
        free(runs);
        free(ends);
        return 0;
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        const uint8_t *in = mask + r * step;
        const ptrdiff_t start = count;
        if (room < count + cols / 2 + 1) {
            room = 2 * room + cols;
            run_t *more = realloc(runs, (size_t)room * sizeof *runs);
            if (!more) {
                free(runs);
                free(ends);
                return 0;
            }
            runs = more;
        }
        for (const uint8_t *from = in, *set; (set = memchr(from, 1, (size_t)(in + cols - from)));) {
            const uint8_t *clear = memchr(set, 0, (size_t)(in + cols - set));
            from = clear ? clear : in + cols;
            const ptrdiff_t left = set - in, i = from - in;
            runs[count] = (run_t){(int32_t)left, (int32_t)i, (int32_t)count, (int32_t)(i - left)};
            while (above < above_end && runs[above].right + corners <= left)
                above++;
            /* the last run above may touch the next run of this row too */
            for (ptrdiff_t a = above; a < above_end && runs[a].left < i + corners; a++) {
                const int32_t one = root_of(runs, (int32_t)a), other = root_of(runs, (int32_t)count);
                if (one != other) {
                    const int32_t first = one < other ? one : other, second = one < other ? other : one;
                    runs[second].parent = first;
                    runs[first].area += runs[second].area;
                }
            }
            count++;
        }
        ends[r] = count;
        above = start;
        above_end = count;
    }
    memset(out, 0, (size_t)(rows * cols));
    for (ptrdiff_t r = 0, i = 0; r < rows; r++)
        for (; i < ends[r]; i++)
            if (runs[root_of(runs, (int32_t)i)].area >= smallest)
                memset(out + r * cols + runs[i].left, 1, (size_t)(runs[i].right - runs[i].left));
    free(runs);
    free(ends);
    return 1;
}
