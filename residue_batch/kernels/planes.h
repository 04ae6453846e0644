/* Inner loops of steps, measures and the store on single planes: rows of floats, codes and masks of 0 and 1. */
#ifndef RESIDUE_PLANES_H
#define RESIDUE_PLANES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE
#endif
#define INLINE static inline __attribute__((always_inline))

void least_u8(const uint8_t *codes, ptrdiff_t pixel, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count,
              uint8_t *out);
void least_u16(const uint16_t *codes, ptrdiff_t pixel, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count,
               uint16_t *out);
void shares_u8(const uint8_t *codes, ptrdiff_t count, float *out);
void shares_u16(const uint16_t *codes, ptrdiff_t count, float *out);

#define BLOCK 1024 /* pixels that stay in the first cache */
#define ROUNDING 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, half to even */
#define FULL 255.0f       /* the code of 1 */
#define SHARE(CODE) ((float)(CODE) * 0x1.01p-8f + (float)(CODE) * 0x1.010102p-24f) /* to the last bit CODE / FULL */
#define CODE_ONE 65536.0f /* fixed point into which codes go by whole numbers */

/* A scalar plane: floats, or codes as a share of full scale; the other is NULL. Rows lie ``step`` values apart. */
typedef struct {
    const float *values;
    const uint8_t *codes;
    ptrdiff_t step;
} plane_t;

/* 0 when there is no memory. */
int smooth_inside(plane_t plane, const uint8_t *where, ptrdiff_t where_step, ptrdiff_t rows, ptrdiff_t cols,
                  const float *weights, int radius, float tiny, float *out);
int grow_mask(const uint8_t *mask, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t cols, const int32_t *half, int radius,
              uint8_t invert, uint8_t *out);
int open_areas(const uint8_t *mask, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t cols, int32_t smallest, int corners,
               uint8_t *out);

#define CELL_ROWS 8 /* are read side by side */
ptrdiff_t cell_rows(plane_t plane, ptrdiff_t top, const uint8_t *where, ptrdiff_t where_step, ptrdiff_t rows,
                    ptrdiff_t count, float one, float largest, int32_t parts, const int32_t *share, double *sums_up,
                    double *sums_down, int32_t *number_up, int32_t *number_down);
void cells_of_line(const double *sums, const int32_t *number, ptrdiff_t count, const int32_t *cell,
                   const int32_t *share, int32_t parts, int64_t *out_sums, int64_t *out_number);
int smooth_grid(const double *grid, ptrdiff_t rows, ptrdiff_t cols, const double *weights, int radius, double *out);
void spline_line(const float *cells, const int32_t *at, const float *weights, ptrdiff_t count, float *out);
void fetch(const void *start, ptrdiff_t bytes);
void has_bit_u8(const uint8_t *bits, ptrdiff_t count, uint32_t bit, uint8_t *out);
void has_bit_u16(const uint16_t *bits, ptrdiff_t count, uint32_t bit, uint8_t *out);
void has_bit_u32(const uint32_t *bits, ptrdiff_t count, uint32_t bit, uint8_t *out);
void keep_row(const uint8_t *mask, ptrdiff_t count, uint8_t invert, uint8_t *out);
void above(const float *plane, ptrdiff_t count, float level, uint8_t *out);
void from_code(const uint8_t *codes, ptrdiff_t count, int32_t first, uint8_t *out);
void keep_above(const float *planes, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count, float level,
                uint8_t *mask);
void spline(const float *sums, const float *numbers, ptrdiff_t count, ptrdiff_t rows, const float *weights,
            const float *plane, ptrdiff_t step, float *out);
ptrdiff_t histogram(const float *plane, const uint8_t *where, ptrdiff_t count, float low, float scale, int32_t bins,
                    uint32_t *counts);
ptrdiff_t difference_row(const float *plane, const float *other, const uint8_t *where, ptrdiff_t count, float one,
                         float ceiling, int32_t *sums, int32_t *number, int64_t *totals);
void sum_of_fours(const int32_t *sums, const int32_t *number, ptrdiff_t cells, float *out, uint8_t *out_number);
ptrdiff_t cover_sums(const uint8_t *mask, const float *plane, const uint8_t *where, ptrdiff_t count, float one,
                     float ceiling, int64_t *sums);
ptrdiff_t quantise(const float *plane, ptrdiff_t count, float factor, float shift, uint8_t *out, ptrdiff_t *clipped);
void bits_apart(const uint8_t *row, ptrdiff_t words, ptrdiff_t apart, uint8_t *out);
void halve_means(const uint8_t *top, const uint8_t *bottom, ptrdiff_t width, uint8_t *out);
void halve_any(const uint8_t *top, const uint8_t *bottom, ptrdiff_t width, uint8_t *out);

#endif
