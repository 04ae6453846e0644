/* Inner loops of registration. */
#include "loops.h"

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

/* Sums of the weighted normal equations of ``value`` over four ``design`` rows: 4 x 4, then 4; in double, one after
 * the other, so that they do not depend on the number of threads. */
WIDE void normal_equations(const float *restrict design, const float *restrict value, const float *restrict weight,
                           ptrdiff_t count, double *restrict sums)
{
    double total[14] = {0.0};
    for (ptrdiff_t i = 0; i < count; i++) {
        const double w = weight[i];
        const double row[5] = {design[i], design[count + i], design[2 * count + i], design[3 * count + i], value[i]};
        int at = 0;
        for (int j = 0; j < 4; j++)
            for (int k = j; k < 5; k++)
                total[at++] += w * row[j] * row[k];
    }
    int at = 0;
    for (int j = 0; j < 4; j++) {
        for (int k = j; k < 4; k++)
            sums[4 * j + k] = sums[4 * k + j] = total[at++];
        sums[16 + j] = total[at++];
    }
}
