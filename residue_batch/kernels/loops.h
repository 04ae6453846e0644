/* Inner loops. All arrays are C-contiguous; images are planar: (channels, rows, columns). */
#ifndef RESIDUE_LOOPS_H
#define RESIDUE_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    ptrdiff_t top, left, rows, cols; /* in the board frame */
} box_t;

/* 0 when there is no memory. */
int sample_u8(const uint8_t *shot, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *table,
              const double *matrix, const double *bend, box_t box, uint16_t *out);
int sample_u16(const uint16_t *shot, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *table,
               const double *matrix, const double *bend, box_t box, uint16_t *out);

void blur_every(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                int radius, ptrdiff_t every, box_t window, float *line, uint16_t *out);
void blur_scale(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                int radius, const float *factor, ptrdiff_t apart, ptrdiff_t past, float gain, float *line, float *out);
void scale(const uint16_t *light, ptrdiff_t count, float factor, float *out);

void unmix(const float *image, ptrdiff_t image_step, const float *reference, ptrdiff_t reference_step,
           const float *white, ptrdiff_t channels, ptrdiff_t pixels, float alike, float limit, float *out);
void contrast(const float *reference, ptrdiff_t step, const float *white, ptrdiff_t channels, ptrdiff_t pixels,
              float least, uint8_t *out);

ptrdiff_t opacity_sums(const float *opacity, const uint8_t *where, const uint8_t *saturated, ptrdiff_t pixels,
                       float one, float ceiling, int64_t *sums);
void counts_above(const float *plane, const uint8_t *where, ptrdiff_t pixels, const float *levels, ptrdiff_t number,
                  int64_t *above);

void nearest(const uint64_t *left, ptrdiff_t count, const uint64_t *right, ptrdiff_t others, int32_t *of_left,
             int32_t *left_distance, int32_t *of_right, int32_t *right_distance);

void normal_equations(const float *design, const float *value, const float *weight, ptrdiff_t count, double *sums);

#endif
