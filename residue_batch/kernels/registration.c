/* Inner loops of registration. */
#include "loops.h"

#include <math.h>
#include <string.h>

/* ---- overviews --------------------------------------------------------------------------- */

/* A row of means of blocks of ``down`` x ``across`` pixels, whose channels lie side by side, rounded half to even;
 * ``line`` holds a row of sums. */
#define BLOCK_MEANS(NAME, SUM)                                                                                         \
    WIDEST void NAME(const uint8_t *image, ptrdiff_t step, ptrdiff_t down, ptrdiff_t across, ptrdiff_t channels,       \
                     ptrdiff_t count, SUM *restrict line, uint8_t *restrict out)                                       \
    {                                                                                                                  \
        const ptrdiff_t width = count * across * channels;                                                             \
        for (ptrdiff_t i = 0; i < width; i++)                                                                          \
            line[i] = image[i];                                                                                        \
        for (ptrdiff_t k = 1; k < down; k++)                                                                           \
            for (ptrdiff_t i = 0; i < width; i++)                                                                      \
                line[i] += image[k * step + i];                                                                        \
        const float share = 1.0f / (float)(down * across);                                                             \
        ptrdiff_t apart = channels, parts = across;                                                                    \
        for (; parts % 2 == 0; parts /= 2, apart *= 2) /* lines are added faster than single sums */                   \
            for (ptrdiff_t i = 0; i < width - apart; i++)                                                              \
                line[i] += line[i + apart];                                                                            \
        for (ptrdiff_t i = 0; i < count; i++)                                                                          \
            for (ptrdiff_t c = 0; c < channels; c++) {                                                                 \
                uint32_t sum = 0;                                                                                      \
                for (ptrdiff_t k = 0; k < parts; k++)                                                                  \
                    sum += line[i * across * channels + k * apart + c];                                                \
                out[i * channels + c] = (uint8_t)__builtin_rintf((float)sum * share);                                  \
            }                                                                                                          \
    }

BLOCK_MEANS(block_means_small, uint16_t) /* of up to 257 pixels */
BLOCK_MEANS(block_means, uint32_t)

/* ---- features ---------------------------------------------------------------------------- */

#define WORDS 4 /* 64-bit words of a descriptor */

/* For each descriptor of ``left`` the nearest of ``right`` by Hamming distance, the first of equals, and the other way. */
WIDE void nearest(const uint64_t *restrict left, ptrdiff_t count, const uint64_t *restrict right, ptrdiff_t others,
                  int32_t *restrict of_left, int32_t *restrict left_distance, int32_t *restrict of_right,
                  int32_t *restrict right_distance)
{
    for (ptrdiff_t j = 0; j < others; j++)
        right_distance[j] = 64 * WORDS + 1;
    for (ptrdiff_t i = 0; i < count; i++) {
        const uint64_t *a = left + i * WORDS;
        int32_t best = 64 * WORDS + 1, found = 0;
        for (ptrdiff_t j = 0; j < others; j++) {
            const uint64_t *b = right + j * WORDS;
            int32_t distance = 0;
            for (int w = 0; w < WORDS; w++)
                distance += __builtin_popcountll(a[w] ^ b[w]);
            if (distance < best) {
                best = distance;
                found = (int32_t)j;
            }
            if (distance < right_distance[j]) {
                right_distance[j] = distance;
                of_right[j] = (int32_t)i;
            }
        }
        of_left[i] = found;
        left_distance[i] = best;
    }
}

/* ---- a shift ----------------------------------------------------------------------------- */

#define TERMS 4 /* d/dx, d/dy, value, 1 */
#define TUKEY 4.685f

/* The k-th smallest of some values, which are put in order around it. */
static float ranked(float *value, ptrdiff_t count, ptrdiff_t k)
{
    ptrdiff_t low = 0, high = count - 1;
    while (low < high) {
        const float pivot = value[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (value[i] < pivot)
                i++;
            while (value[j] > pivot)
                j--;
            if (i <= j) {
                const float kept = value[i];
                value[i++] = value[j];
                value[j--] = kept;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return value[k];
}

/* Solves a symmetric positive system, with a little added to its diagonal; 0 if it is none. */
static int solve(const double *normal, const double *right, double *out)
{
    double low[TERMS][TERMS];
    for (int j = 0; j < TERMS; j++)
        for (int k = 0; k <= j; k++) {
            double rest = normal[TERMS * j + k] + (j == k ? 1e-3 : 0.0);
            for (int l = 0; l < k; l++)
                rest -= low[j][l] * low[k][l];
            if (j != k)
                low[j][k] = rest / low[k][k];
            else if (rest > 0.0)
                low[j][j] = sqrt(rest);
            else
                return 0;
        }
    for (int j = 0; j < TERMS; j++) {
        out[j] = right[j];
        for (int k = 0; k < j; k++)
            out[j] -= low[j][k] * out[k];
        out[j] /= low[j][j];
    }
    for (int j = TERMS - 1; j >= 0; j--) {
        for (int k = j + 1; k < TERMS; k++)
            out[j] -= low[k][j] * out[k];
        out[j] /= low[j][j];
    }
    return 1;
}

#define LANES 8

typedef float lanes_t __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double wide_lanes_t __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

/* The sums over all pixels of weight x the products of four ``design`` rows and ``value``, each with those after it. */
INLINE void products(const float *design, const float *value, const float *weight, ptrdiff_t count, double *out)
{
    wide_lanes_t total[14] = {{0.0}};
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const size_t here = (size_t)(count - i < LANES ? count - i : LANES) * sizeof(float);
        lanes_t narrow[TERMS + 2] = {{0.0f}}; /* what no pixel fills has no weight */
        wide_lanes_t row[TERMS + 2];
        for (int j = 0; j < TERMS + 2; j++) {
            const float *from = j < TERMS ? design + j * count : j == TERMS ? value : weight;
            if (here == sizeof narrow[j])
                narrow[j] = *(const lanes_t *)(from + i);
            else
                memcpy(&narrow[j], from + i, here);
            row[j] = __builtin_convertvector(narrow[j], wide_lanes_t);
        }
        int at = 0;
        for (int j = 0; j < TERMS; j++) {
            const wide_lanes_t weighted = row[TERMS + 1] * row[j];
            for (int k = j; k <= TERMS; k++)
                total[at++] += weighted * row[k];
        }
    }
    for (int k = 0; k < 14; k++) {
        out[k] = 0.0;
        for (int lane = 0; lane < LANES; lane++)
            out[k] += total[k][lane];
    }
}

/* Least squares of ``value`` over four ``design`` rows with Tukey weights, in some rounds. The weighted normal matrix is
 * that of the last round, ``noise`` the robust scale of what it leaves (at least 0.5). Sums are in double and in a
 * fixed order, so that they do not depend on the number of threads or the machine. ``work`` holds three times ``count``. 0 if singular. */
WIDEST int shift(const float *restrict design, const float *restrict value, ptrdiff_t count, int rounds,
               float *restrict work, double *restrict solved, double *restrict normal, double *restrict noise)
{
    float *restrict weight = work, *restrict rest = work + count, *restrict some = work + 2 * count;
    for (ptrdiff_t i = 0; i < count; i++)
        weight[i] = 1.0f;
    for (int round = 0; round < rounds; round++) {
        double total[14], right[TERMS];
        products(design, value, weight, count, total);
        int at = 0;
        for (int j = 0; j < TERMS; j++) {
            for (int k = j; k < TERMS; k++)
                normal[TERMS * j + k] = normal[TERMS * k + j] = total[at++];
            right[j] = total[at++];
        }
        if (!solve(normal, right, solved))
            return 0;
        const float a = (float)solved[0], b = (float)solved[1], c = (float)solved[2], d = (float)solved[3];
        for (ptrdiff_t i = 0; i < count; i++)
            rest[i] = value[i] - (a * design[i] + b * design[count + i] + c * design[2 * count + i] +
                                  d * design[3 * count + i]);
        const ptrdiff_t every = (count + 3) / 4; /* is enough for a median */
        for (ptrdiff_t i = 0; i < every; i++)
            some[i] = fabsf(rest[4 * i]);
        const double middle = ranked(some, every, every / 2);
        *noise = 1.4826 * middle > 0.5 ? 1.4826 * middle : 0.5;
        const float scale = 1.0f / (TUKEY * (float)*noise);
        for (ptrdiff_t i = 0; i < count; i++) {
            const float out = rest[i] * scale, inside = 1.0f - out * out;
            weight[i] = inside > 0.0f ? inside * inside : 0.0f;
        }
    }
    return 1;
}
