/* Inner loops. Rows are contiguous; images are planar: (channels, rows, columns). */
#ifndef RESIDUE_LOOPS_H
#define RESIDUE_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "avx2", "default"))) /* where that was measured faster */
#else
#define WIDE
#define WIDEST
#endif
#define INLINE static inline __attribute__((always_inline))

#define BLUR_MOST 64 /* the largest radius of a blur */

typedef struct {
    ptrdiff_t top, left, rows, cols; /* in the board frame */
} box_t;

void blur_every(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                int radius, ptrdiff_t every_row, ptrdiff_t every, box_t window, float *line, uint16_t *out);
void blur_scale(const uint16_t *plane, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t cols, const float *weights,
                int radius, const float *factor, ptrdiff_t apart, ptrdiff_t past, float gain, float *line, float *out);
void running_u8(const uint8_t *differences, ptrdiff_t pixels, ptrdiff_t channels, uint8_t *out);
void running_u16(const uint16_t *differences, ptrdiff_t pixels, ptrdiff_t channels, uint16_t *out);
void scale(const uint16_t *light, ptrdiff_t count, float factor, float *out);

void unmix(const float *image, ptrdiff_t image_step, const float *reference, ptrdiff_t reference_step,
           const float *white, ptrdiff_t channels, ptrdiff_t pixels, float alike, float limit, float *out);
void contrast(const float *reference, ptrdiff_t step, const float *white, ptrdiff_t channels, ptrdiff_t pixels,
              float least, uint8_t *out);

ptrdiff_t opacity_sums(const float *opacity, const uint8_t *where, const uint8_t *saturated, ptrdiff_t pixels,
                       float one, float ceiling, int64_t *sums);
ptrdiff_t negative_sums(const float *opacity, const uint8_t *where, ptrdiff_t pixels, float one, float ceiling,
                        int64_t *sums);
void counts_above(const float *plane, const uint8_t *where, ptrdiff_t pixels, const float *levels, ptrdiff_t number,
                  int64_t *above);

/* Sparse samples of a board: where they lie, their clean colour by channel, the load there in fixed point by phase. */
typedef struct {
    ptrdiff_t count, channels;
    const uint32_t *bits; /* the regions of each */
    const int32_t *block;
    const double *x, *y, *white;
    const float *board;
    const int32_t *loads;
} samples_t;

/* Levels of opacity, and the samples of the plane that each is held against. */
typedef struct {
    ptrdiff_t count;
    const float *planes, *tau, *within;
} levels_t;

void evidence(samples_t of, levels_t levels, ptrdiff_t regions, ptrdiff_t blocks, double one, double fine, float metal,
              int64_t *in_block, int64_t *near, int64_t *shiny, int64_t *lever);

/* A photograph, and where the frame lies in it. */
typedef struct {
    ptrdiff_t height, width, channels;
    const double *matrix, *bend; /* NULL without a bend */
} photograph_t;

/* The displacement along one axis, from its ten terms; see ``bend.py``. */
INLINE double displaced(const double *t, double x, double y)
{
    return t[0] + x * (t[1] + x * (t[3] + x * t[6])) + y * (t[2] + x * (t[4] + x * t[7]) + y * (t[5] + x * t[8] + y * t[9]));
}

/* Where a point of the frame lies in a photograph. */
INLINE void seen_at(photograph_t of, double x, double y, double *u, double *v)
{
    const double *m = of.matrix, *bend = of.bend;
    if (bend) {
        const double a = (x - bend[0]) / bend[2], b = (y - bend[1]) / bend[2];
        x += displaced(bend + 3, a, b);
        y += displaced(bend + 13, a, b);
    }
    const double depth = 1.0 / (m[6] * x + m[7] * y + m[8]);
    *u = (m[0] * x + m[1] * y + m[2]) * depth;
    *v = (m[3] * x + m[4] * y + m[5]) * depth;
}

/* Pixels of a row of a photograph through a table of their code values, channel by channel, ``apart`` numbers each. */
void light_u8(const uint8_t *row, ptrdiff_t pixels, ptrdiff_t channels, const uint16_t *table, float *out,
              ptrdiff_t apart);
void light_u16(const uint16_t *row, ptrdiff_t pixels, ptrdiff_t channels, const uint16_t *table, float *out,
               ptrdiff_t apart);
/* 0 when there is no memory. */
int sample_u8(const uint8_t *shot, photograph_t of, const uint16_t *table, box_t box, uint16_t *out);
int sample_u16(const uint16_t *shot, photograph_t of, const uint16_t *table, box_t box, uint16_t *out);
int cubic_window(const uint8_t *shot, photograph_t of, box_t box, float *out);

int spoilt(const uint16_t *light, photograph_t of, box_t box, uint16_t limit, uint8_t *bad);
void beside(const uint8_t *bad, box_t box, box_t grid, ptrdiff_t down, ptrdiff_t across, ptrdiff_t reach, uint8_t *out);

/* The samples of a light fit, window by window. */
typedef struct {
    ptrdiff_t samples, channels, windows;
    const int64_t *starts;
    const double *ratio, *contrast, *bend, *terms;
    double noise, speckle, uneven, tukey;
} fit_t;

void light_sums(fit_t of, const double *solved, const double *film, double widen, double *weight, double *rest,
                double *sums);
void normal_below(const double *value, ptrdiff_t count, double *out);

void block_means_small(const uint8_t *image, ptrdiff_t step, ptrdiff_t down, ptrdiff_t across, ptrdiff_t channels,
                       ptrdiff_t count, uint16_t *line, uint8_t *out);
void block_means(const uint8_t *image, ptrdiff_t step, ptrdiff_t down, ptrdiff_t across, ptrdiff_t channels,
                 ptrdiff_t count, uint32_t *line, uint8_t *out);

void nearest(const uint64_t *left, ptrdiff_t count, const uint64_t *right, ptrdiff_t others, int32_t *of_left,
             int32_t *left_distance, int32_t *of_right, int32_t *right_distance);

int shift(const float *design, const float *value, ptrdiff_t count, int rounds, float *work, double *solved,
          double *normal, double *noise);

#endif
