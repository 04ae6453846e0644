/* What the intervals of a board rest on: sums over sparse samples. See evidence.py. */
#include "loops.h"

#define CHANNELS 4 /* at most */

/* What a relative error of gain, field and white is worth in opacity: 2 C + 5 numbers of one sample, in steps of 1 / fine.
 * The integers are exact in double precision. */
INLINE void leverage(double opacity, const double *board, const double *white, const double *span, const double *unit,
                     ptrdiff_t channels, const double *place, double fine, double *out)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
    double all = 0.0;
    for (ptrdiff_t c = 0; c < channels; c++) {
        const double gain = (board[c] + opacity * span[c]) * unit[c];
        all += gain;
        out[c] = gain * fine + shift - shift;
        out[channels + 5 + c] = opacity * white[c] * unit[c] * fine + shift - shift;
    }
    for (ptrdiff_t k = 0; k < 5; k++)
        out[channels + k] = all * place[k] * fine + shift - shift;
}

/* Adds the samples to the sums of every region they lie in.
 * The sums are by region: ``in_block`` (3 + t, blocks), ``near`` (t,), ``shiny`` (3,), ``lever`` (2, 2 C + 5). */
void evidence(const samples_t of, const levels_t levels, ptrdiff_t regions, ptrdiff_t blocks, double one, double fine,
              float metal, int64_t *restrict in_block, int64_t *restrict near, int64_t *restrict shiny,
              int64_t *restrict lever)
{
    const ptrdiff_t rows = 3 + levels.count, size = 2 * of.channels + 5;
    for (ptrdiff_t i = 0; i < of.count; i++) {
        double board[CHANNELS], span[CHANNELS], unit[CHANNELS], found[2][2 * CHANNELS + 5], place[5], norm = 0.0;
        float least = of.board[i];
        for (ptrdiff_t c = 0; c < of.channels; c++) {
            const float value = of.board[c * of.count + i];
            least = value < least ? value : least;
            board[c] = value;
            span[c] = of.white[c] - board[c];
            norm += span[c] * span[c];
        }
        for (ptrdiff_t c = 0; c < of.channels; c++)
            unit[c] = span[c] / (norm > 1e-6 ? norm : 1e-6);
        const double x = of.x[i], y = of.y[i];
        place[0] = x, place[1] = y, place[2] = x * x, place[3] = x * y, place[4] = y * y;
        for (int phase = 0; phase < 2; phase++)
            leverage((double)of.loads[phase * of.count + i] / one, board, of.white, span, unit, of.channels, place, fine,
                     found[phase]);
        for (ptrdiff_t r = 0; r < regions; r++) {
            if (!(of.bits[i] >> r & 1))
                continue;
            int64_t *block = in_block + r * rows * blocks + of.block[i];
            block[0] += 1;
            for (int phase = 0; phase < 2; phase++) {
                block[(1 + phase) * blocks] += of.loads[phase * of.count + i];
                for (ptrdiff_t k = 0; k < size; k++)
                    lever[(2 * r + phase) * size + k] += (int64_t)found[phase][k];
            }
            for (ptrdiff_t k = 0; k < levels.count; k++) {
                const float value = levels.planes[k * of.count + i], apart = value - levels.tau[k];
                block[(3 + k) * blocks] += value > levels.tau[k];
                near[r * levels.count + k] += apart < levels.within[k] && apart > -levels.within[k];
            }
            if (least > metal) {
                shiny[3 * r] += 1;
                shiny[3 * r + 1] += of.loads[i];
                shiny[3 * r + 2] += of.loads[of.count + i];
            }
        }
    }
}
