/* The density of a Gaussian mixture as a C programmer writes it, in float32. competitors.py compiles it for each
   mixture.

   PIXEL, KERNELS, CHANNELS and FULL are macros. The exponent of a kernel, in powers of 2, is a logarithm minus the
   squares of as many sums as there are channels: sum number i has channel i, and with full covariances those before
   it too. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
/* Pixels whose planes stay in the cache, in whole vectors. Rows have one vector more, against conflicts in it. */
#define STRIP 512

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

/* 2 to the power of x < 127: a Taylor polynomial, and bits of the exponent. It is 0 below the normal numbers. */
static inline floats power(floats x) {
    ints whole = __builtin_convertvector(x + 128.5f, ints) - 128;
    floats rest = x - __builtin_convertvector(whole, floats);
    floats value = rest * 1.535336188e-4f + 1.339887440e-3f;
    value = value * rest + 9.618437357e-3f;
    value = value * rest + 5.550332471e-2f;
    value = value * rest + 2.402264791e-1f;
    value = value * rest + 6.931472028e-1f;
    value = value * rest + 1.0f;
    return (floats)((ints)(value * (floats)((whole + 127) << 23)) & (x > -126.5f));
}

void density(const PIXEL *restrict pixels, ptrdiff_t n, const float *restrict logs, const float *restrict means,
             const float *restrict factors, float *restrict out) {
    static float planes[CHANNELS][STRIP + LANES] __attribute__((aligned(64))), totals[STRIP] __attribute__((aligned(64)));
    for (ptrdiff_t start = 0; start < n; start += STRIP) {
        int count = n - start < STRIP ? (int)(n - start) : STRIP;
        for (int i = 0; i < count; i++)
            for (int c = 0; c < CHANNELS; c++) planes[c][i] = pixels[(start + i) * CHANNELS + c];
        memset(totals, 0, sizeof totals);
        for (int k = 0; k < KERNELS; k++) {
            const float *mean = means + k * CHANNELS, *factor = factors + k * CHANNELS * CHANNELS;
            for (int i = 0; i < STRIP; i += LANES) {
                floats exponent = {0};
                for (int row = 0; row < CHANNELS; row++) {
                    floats sum = {0};
                    for (int c = FULL ? 0 : row; c <= row; c++)
                        sum += (*(floats *)&planes[c][i] - mean[c]) * factor[row * CHANNELS + c];
                    exponent += sum * sum;
                }
                *(floats *)&totals[i] += power(logs[k] - exponent);
            }
        }
        memcpy(out + start, totals, count * sizeof *out);
    }
}
