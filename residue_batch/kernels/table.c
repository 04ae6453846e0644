/* Code values of a photograph to linear light, channel by channel. See loops.h. */
#include "loops.h"

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>

#define REGISTERS __builtin_cpu_supports("avx512bw")
#define AT_ONCE 32 /* pixels of three bytes */
#define LOW 64     /* what two registers hold */

/* Which value of two registers each value of a channel is: first of the pixels' first two thirds, then of what that
 * gave and the last third. */
#define FROM(k, c) (3 * (k) + (c) < LOW ? 3 * (k) + (c) : 0)
#define THEN(k, c) (3 * (k) + (c) < LOW ? (k) : 3 * (k) + (c) - LOW + AT_ONCE)
#define EIGHT(OF, k, c)                                                                                                \
    OF(k, c), OF(k + 1, c), OF(k + 2, c), OF(k + 3, c), OF(k + 4, c), OF(k + 5, c), OF(k + 6, c), OF(k + 7, c)
#define CHANNEL(OF, c) {EIGHT(OF, 0, c), EIGHT(OF, 8, c), EIGHT(OF, 16, c), EIGHT(OF, 24, c)}

static const uint16_t from[3][AT_ONCE] = {CHANNEL(FROM, 0), CHANNEL(FROM, 1), CHANNEL(FROM, 2)};
static const uint16_t then[3][AT_ONCE] = {CHANNEL(THEN, 0), CHANNEL(THEN, 1), CHANNEL(THEN, 2)};

/* The first pixels of a row of three channels; how many. The table lies in eight registers. */
__attribute__((target("avx512f,avx512bw"))) static ptrdiff_t in_registers(const uint8_t *row, ptrdiff_t pixels,
                                                                         const uint16_t *table, float *out,
                                                                         ptrdiff_t apart)
{
    const __m512i bit6 = _mm512_set1_epi16(64), bit7 = _mm512_set1_epi16(128);
    __m512i part[8];
    for (int k = 0; k < 8; k++)
        part[k] = _mm512_loadu_si512(table + 32 * k);
    ptrdiff_t done = 0;
    for (; done + AT_ONCE <= pixels; done += AT_ONCE) {
        __m512i light[3];
        for (int k = 0; k < 3; k++) {
            const __m256i bytes = _mm256_loadu_si256((const __m256i *)(row + 3 * done + AT_ONCE * k));
            const __m512i code = _mm512_cvtepu8_epi16(bytes);
            const __mmask32 is6 = _mm512_test_epi16_mask(code, bit6), is7 = _mm512_test_epi16_mask(code, bit7);
            const __m512i below = _mm512_mask_blend_epi16(is6, _mm512_permutex2var_epi16(part[0], code, part[1]),
                                                          _mm512_permutex2var_epi16(part[2], code, part[3]));
            const __m512i above = _mm512_mask_blend_epi16(is6, _mm512_permutex2var_epi16(part[4], code, part[5]),
                                                          _mm512_permutex2var_epi16(part[6], code, part[7]));
            light[k] = _mm512_mask_blend_epi16(is7, below, above);
        }
        for (int c = 0; c < 3; c++) {
            const __m512i early = _mm512_permutex2var_epi16(light[0], _mm512_loadu_si512(from[c]), light[1]);
            const __m512i all = _mm512_permutex2var_epi16(early, _mm512_loadu_si512(then[c]), light[2]);
            const __m256i first = _mm512_castsi512_si256(all), last = _mm512_extracti64x4_epi64(all, 1);
            _mm512_storeu_ps(out + c * apart + done, _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(first)));
            _mm512_storeu_ps(out + c * apart + done + 16, _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(last)));
        }
    }
    return done;
}
#endif

/* One by one: compilers make vectors of this, which are slower. */
#define REST(CHANNELS)                                                                                                 \
    for (; i < pixels; i++)                                                                                            \
        for (ptrdiff_t c = 0; c < (CHANNELS); c++) {                                                                   \
            __asm__ volatile("");                                                                                      \
            out[c * apart + i] = table[row[i * (CHANNELS) + c]];                                                       \
        }

void light_u8(const uint8_t *restrict row, ptrdiff_t pixels, ptrdiff_t channels, const uint16_t *restrict table,
              float *restrict out, ptrdiff_t apart)
{
    ptrdiff_t i = 0;
#ifdef REGISTERS
    if (channels == 3 && REGISTERS)
        i = in_registers(row, pixels, table, out, apart);
#endif
    if (channels == 3) {
        REST(3)
    } else {
        REST(channels)
    }
}

void light_u16(const uint16_t *restrict row, ptrdiff_t pixels, ptrdiff_t channels, const uint16_t *restrict table,
               float *restrict out, ptrdiff_t apart)
{
    ptrdiff_t i = 0;
    REST(channels)
}
