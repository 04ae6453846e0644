/* A shot, seen from the board frame: bilinear in linear light for what is measured, cubic in grey for registration. See
 * loops.h. */
#include "loops.h"

#include <stdlib.h>

#define BITS 8 /* of the sub-pixel position */
#define STEPS (1 << BITS)
#define LANES 8 /* pixels at once */
#define STRIP 16 /* rows of the frame whose patch of the shot stays in the second cache */

typedef float lanes_t __attribute__((vector_size(4 * LANES)));
typedef int32_t whole_t __attribute__((vector_size(4 * LANES)));
typedef int64_t pairs_t __attribute__((vector_size(4 * LANES)));
typedef float loose_lanes_t __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t loose_whole_t __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t codes_t __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

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

/* ---- the pixels of a row, side by side ----------------------------------------------------- */

/* A frame that lies nearly straight in the shot reads it nearly in a row: of LANES pixels, all lie side by side (ROW),
 * or the first of them and the last of them do (ROWS: the step to the next line or over a column), or they lie
 * anywhere. */
typedef enum { ROW, ROWS, ANYWHERE } lie_t;

typedef struct {
    whole_t at, first; /* in the patch; which of them follow the first */
    int32_t head, tail;
} places_t;

INLINE lie_t lie_of(places_t *of)
{
    const whole_t aside = {0, 1, 2, 3, 4, 5, 6, 7};
    of->head = of->at[0];
    of->tail = of->at[LANES - 1] - (LANES - 1);
    of->first = of->at == of->head + aside;
    const pairs_t apart = (pairs_t) ~(of->first | (of->at == of->tail + aside));
    return apart[0] | apart[1] | apart[2] | apart[3] ? ANYWHERE : of->head == of->tail ? ROW : ROWS;
}

/* ``from[at]``. The margin of a patch lets what is read and not used lie beyond it. */
INLINE lanes_t taken(places_t of, lie_t lie, const float *from)
{
    if (lie == ROW)
        return *(const loose_lanes_t *)(from + of.head);
    if (lie == ROWS)
        return (lanes_t)((of.first & *(const loose_whole_t *)(from + of.head)) |
                         (~of.first & *(const loose_whole_t *)(from + of.tail)));
    return (lanes_t){from[of.at[0]], from[of.at[1]], from[of.at[2]], from[of.at[3]],
                     from[of.at[4]], from[of.at[5]], from[of.at[6]], from[of.at[7]]};
}

/* A patch of the shot: planar, ``size`` numbers a channel, its first pixel at (top, left). */
typedef struct {
    const float *from;
    ptrdiff_t size, stride;
    int32_t top, left;
} patch_t;

/* Places in a patch of LANES pixels whose positions are given, and what is left of these in pixels. */
INLINE places_t placed(patch_t patch, const int32_t *at_x, const int32_t *at_y, lanes_t *fx, lanes_t *fy)
{
    const whole_t x = *(const loose_whole_t *)at_x, y = *(const loose_whole_t *)at_y;
    *fx = __builtin_convertvector(x & (STEPS - 1), lanes_t) / STEPS;
    *fy = __builtin_convertvector(y & (STEPS - 1), lanes_t) / STEPS;
    return (places_t){.at = ((y >> BITS) - patch.top) * (int32_t)patch.stride + (x >> BITS) - patch.left};
}

/* ``part`` of the shot that positions need, from their extremes. */
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

/* Positions of some rows of a box of the frame, from its ``start``-th on, each ``wide`` pixels long. */
INLINE void positions_of(photograph_t of, box_t box, ptrdiff_t start, ptrdiff_t rows, ptrdiff_t wide, int32_t *at_x,
                         int32_t *at_y)
{
    const double last_x = (double)(of.width - 1), last_y = (double)(of.height - 1);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const double row = (double)(box.top + start + r);
        if (of.bend)
            positions(of.matrix, 1, of.bend, row, box.left, wide, last_x, last_y, at_x + r * wide, at_y + r * wide);
        else
            positions(of.matrix, 0, NULL, row, box.left, wide, last_x, last_y, at_x + r * wide, at_y + r * wide);
    }
}

/* ---- linear light, bilinear ----------------------------------------------------------------- */

INLINE void bilinear(patch_t patch, places_t at, const lie_t lie, lanes_t fx, lanes_t fy, const ptrdiff_t channels,
                     ptrdiff_t here, uint16_t *out, ptrdiff_t plane)
{
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < channels; c++) {
        const float *p = patch.from + c * patch.size, *q = p + patch.stride;
        const lanes_t a = taken(at, lie, p), b = taken(at, lie, q);
        const lanes_t upper = a + (taken(at, lie, p + 1) - a) * fx, lower = b + (taken(at, lie, q + 1) - b) * fx;
        const whole_t light = __builtin_convertvector(upper + (lower - upper) * fy + 0.5f, whole_t);
        const codes_t codes = __builtin_convertvector(light, codes_t);
        if (here == LANES)
            *(codes_t *)(out + c * plane) = codes;
        else
            for (ptrdiff_t k = 0; k < here; k++)
                out[c * plane + k] = codes[k];
    }
}

/* The samples of a row. */
INLINE void bilinear_row(patch_t patch, const int32_t *at_x, const int32_t *at_y, ptrdiff_t cols,
                         const ptrdiff_t channels, uint16_t *out, ptrdiff_t plane)
{
    for (ptrdiff_t i = 0; i < cols; i += LANES) {
        const ptrdiff_t here = cols - i < LANES ? cols - i : LANES;
        lanes_t fx, fy;
        places_t at = placed(patch, at_x + i, at_y + i, &fx, &fy);
        const lie_t lie = lie_of(&at);
        if (lie == ROW)
            bilinear(patch, at, ROW, fx, fy, channels, here, out + i, plane);
        else if (lie == ROWS)
            bilinear(patch, at, ROWS, fx, fy, channels, here, out + i, plane);
        else
            bilinear(patch, at, ANYWHERE, fx, fy, channels, here, out + i, plane);
    }
}

/* Linear light of a part of the shot, whose edges are repeated beyond them by one pixel at most; then the samples. */
#define STRIP_OF(PIXEL, LIGHT, CHANNELS)                                                                               \
    for (ptrdiff_t y = 0; y < part.rows; y++) {                                                                        \
        const ptrdiff_t from = part.top + y < of.height ? part.top + y : of.height - 1;                                \
        const ptrdiff_t inside = part.left + part.cols <= of.width ? part.cols : of.width - part.left;                 \
        const PIXEL *row = shot + (from * of.width + part.left) * (CHANNELS);                                          \
        float *to = light + y * part.cols;                                                                             \
        for (ptrdiff_t x = 0; from + 4 < of.height && x < inside * (CHANNELS) * (ptrdiff_t)sizeof *row; x += 64)       \
            __builtin_prefetch((const char *)(row + 4 * of.width * (CHANNELS)) + x);                                   \
        LIGHT(row, inside, CHANNELS, table, to, size);                                                                 \
        for (ptrdiff_t c = 0; c < (CHANNELS); c++)                                                                     \
            for (ptrdiff_t x = inside; x < part.cols; x++)                                                             \
                to[c * size + x] = to[c * size + x - 1];                                                               \
    }                                                                                                                  \
    for (ptrdiff_t r = 0; r < rows; r++)                                                                               \
        bilinear_row(patch, at_x + r * wide, at_y + r * wide, box.cols, CHANNELS, out + (start + r) * box.cols,        \
                     box.rows * box.cols);

#define DEFINE_SAMPLE(NAME, LIGHT, PIXEL)                                                                              \
    WIDEST int NAME(const PIXEL *shot, photograph_t of, const uint16_t *table, box_t box, uint16_t *out)               \
    {                                                                                                                  \
        const ptrdiff_t wide = (box.cols + LANES - 1) / LANES * LANES;                                                 \
        int32_t *at_x = malloc(2 * STRIP * (size_t)wide * sizeof *at_x), *at_y = at_x + STRIP * wide;                  \
        float *room = NULL;                                                                                            \
        ptrdiff_t largest = 0;                                                                                         \
        for (ptrdiff_t start = 0; at_x && start < box.rows; start += STRIP) {                                          \
            const ptrdiff_t rows = box.rows - start < STRIP ? box.rows - start : STRIP;                                \
            positions_of(of, box, start, rows, wide, at_x, at_y);                                                      \
            const box_t part = part_of(at_x, at_y, rows * wide);                                                       \
            const ptrdiff_t size = part.rows * part.cols;                                                              \
            if (size > largest) {                                                                                      \
                largest = size;                                                                                        \
                free(room);                                                                                            \
                room = malloc((size_t)(of.channels * size + 2 * LANES) * sizeof *room);                                \
            }                                                                                                          \
            if (!room)                                                                                                 \
                break;                                                                                                 \
            float *light = room + LANES;                                                                               \
            const patch_t patch = {light, size, part.cols, (int32_t)part.top, (int32_t)part.left};                     \
            if (of.channels == 3) {                                                                                    \
                STRIP_OF(PIXEL, LIGHT, 3)                                                                              \
            } else {                                                                                                   \
                STRIP_OF(PIXEL, LIGHT, of.channels)                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        const int done = at_x && room;                                                                                 \
        free(at_x);                                                                                                    \
        free(room);                                                                                                    \
        return done;                                                                                                   \
    }

DEFINE_SAMPLE(sample_u8, light_u8, uint8_t)
DEFINE_SAMPLE(sample_u16, light_u16, uint16_t)

/* ---- grey, by cubic convolution ----------------------------------------------------------- */

/* Weights of four neighbours at a distance of ``t`` beyond the second: a = -1/2 (Keys 1981). */
INLINE void cubic(lanes_t t, lanes_t weight[4])
{
    const lanes_t s = 1.0f - t;
    weight[0] = -0.5f * t * s * s;
    weight[1] = 1.0f + t * t * (1.5f * t - 2.5f);
    weight[2] = 1.0f + s * s * (1.5f * s - 2.5f);
    weight[3] = -0.5f * s * t * t;
}

INLINE lanes_t bicubic(patch_t patch, places_t at, const lie_t lie, const lanes_t across[4], const lanes_t down[4])
{
    lanes_t sum[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        const float *p = patch.from + k;
        sum[k] = taken(at, lie, p) * down[0] + taken(at, lie, p + patch.stride) * down[1];
        sum[k] += taken(at, lie, p + 2 * patch.stride) * down[2] + taken(at, lie, p + 3 * patch.stride) * down[3];
        sum[k] *= across[k];
    }
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* A box of the frame out of a grey photograph; edge pixels are repeated outwards. 0 when there is no memory. */
WIDEST int cubic_window(const uint8_t *shot, photograph_t of, box_t box, float *out)
{
    const ptrdiff_t wide = (box.cols + LANES - 1) / LANES * LANES, size = box.rows * wide;
    int32_t *at_x = malloc(2 * (size_t)size * sizeof *at_x), *at_y = at_x + size;
    float *room = NULL;
    if (at_x) {
        positions_of(of, box, 0, box.rows, wide, at_x, at_y);
        const box_t part = part_of(at_x, at_y, size);
        const ptrdiff_t rows = part.rows + 2, cols = part.cols + 2;
        room = malloc((size_t)(rows * cols + 2 * LANES) * sizeof *room);
        for (ptrdiff_t r = 0; room && r < rows; r++) {
            const ptrdiff_t y = part.top + r - 1, row = y < 0 ? 0 : y < of.height ? y : of.height - 1;
            const uint8_t *p = shot + row * of.width;
            float *to = room + LANES + r * cols;
            const ptrdiff_t first = part.left > 0 ? 0 : 1, last = of.width - part.left + 1;
            for (ptrdiff_t i = first; i < (cols < last ? cols : last); i++)
                to[i] = p[part.left + i - 1];
            if (first)
                to[0] = p[0];
            for (ptrdiff_t i = last; i < cols; i++)
                to[i] = p[of.width - 1];
        }
        const patch_t patch = {room + LANES, rows * cols, cols, (int32_t)part.top, (int32_t)part.left};
        for (ptrdiff_t r = 0; room && r < box.rows; r++)
            for (ptrdiff_t i = 0; i < box.cols; i += LANES) {
                lanes_t fx, fy, across[4], down[4], sum;
                places_t at = placed(patch, at_x + r * wide + i, at_y + r * wide + i, &fx, &fy);
                const lie_t lie = lie_of(&at);
                cubic(fx, across);
                cubic(fy, down);
                if (lie == ROW)
                    sum = bicubic(patch, at, ROW, across, down);
                else if (lie == ROWS)
                    sum = bicubic(patch, at, ROWS, across, down);
                else
                    sum = bicubic(patch, at, ANYWHERE, across, down);
                if (i + LANES <= box.cols)
                    *(loose_lanes_t *)(out + r * box.cols + i) = sum;
                else
                    for (ptrdiff_t k = 0; i + k < box.cols; k++)
                        out[r * box.cols + i + k] = sum[k];
            }
    }
    const int done = at_x && room;
    free(at_x);
    free(room);
    return done;
}
