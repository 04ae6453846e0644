/* Kept planes on their way to the store: codes, their bits apart, coarser levels. See planes.h. */
#include "planes.h"

#include <string.h>

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

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first pixel of a word must be its lowest byte"
#endif

/* Words of eight pixels of a row, bit by bit apart: bit k of pixel j is bit j of a byte of plane k; the planes lie
 * ``apart`` bytes apart. Three swaps transpose a word (Warren, Hacker's Delight, 7-3). */
WIDE void bits_apart(const uint8_t *restrict row, ptrdiff_t words, ptrdiff_t apart, uint8_t *restrict out)
{
    enum { SOME = 64 };
    for (ptrdiff_t start = 0; start < words; start += SOME) {
        const ptrdiff_t here = words - start < SOME ? words - start : SOME;
        uint64_t word[SOME] = {0};
        memcpy(word, row + 8 * start, (size_t)here * 8);
        for (ptrdiff_t i = 0; i < SOME; i++) {
            uint64_t x = word[i], swap = (x ^ (x >> 7)) & 0x00aa00aa00aa00aaULL;
            x ^= swap ^ (swap << 7);
            swap = (x ^ (x >> 14)) & 0x0000cccc0000ccccULL;
            x ^= swap ^ (swap << 14);
            swap = (x ^ (x >> 28)) & 0x00000000f0f0f0f0ULL;
            word[i] = x ^ swap ^ (swap << 28);
        }
        for (int k = 0; k < 8; k++) {
            uint8_t *restrict to = out + k * apart + start;
            for (ptrdiff_t i = 0; i < here; i++)
                to[i] = (uint8_t)(word[i] >> (8 * k));
        }
    }
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
