/* The product of BF16 matrices that llama.cpp takes most of its time for, on CPUs with AVX512-BF16.

   Loaded before llama.cpp, it takes the place of `llamafile_sgemm` (ggml-cpu/llamafile/sgemm.h in
   llama.cpp): C[token][row] = sum over k of A[row][k] * B[token][k], in F32. llama.cpp's own adds up
   sixteen partial sums for every single output; here a block of 32 rows is transposed once for all
   tokens, so that the lanes of a register are sixteen outputs and nothing is left to add up.

   Every output is summed in the order of k by itself. Its bits depend neither on how many tokens
   are beside it nor on the number of threads. What is not for this product goes to llama.cpp's. */

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { F32 = 0, BF16 = 30 };                      /* enum ggml_type */
enum { ROWS = 32, TOKENS = 12, DEPTH = 32 };      /* 24 sums, 2 rows of A and a pair of B at a time */

struct params { int thread, threads; };           /* how struct ggml_compute_params begins */

typedef bool product(const struct params *, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                     const void *b, int64_t ldb, void *c, int64_t ldc, int a_type, int b_type, int c_type);

static product *plain;   /* llama.cpp's own; NULL until it is connected */
static int64_t computed; /* products */

void benchpool_connect(product *own)
{
    plain = own;
}

int64_t benchpool_products(void)
{
    return computed;
}

/* Turn 16 rows of 16 pairs into 16 pairs of 16 rows; a pair is two neighbours in BF16. */
static void transpose(const uint16_t *rows, int64_t lda, uint32_t *pairs)
{
    __m512i x[16], y[16];
    for (int i = 0; i < 16; i++)
        x[i] = _mm512_loadu_si512(rows + i * lda);
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m512i even_top = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        __m512i even_end = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        __m512i odd_top = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        __m512i odd_end = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
        _mm512_store_si512(pairs + ROWS * i, _mm512_shuffle_i32x4(even_top, even_end, 0x88));
        _mm512_store_si512(pairs + ROWS * (i + 4), _mm512_shuffle_i32x4(odd_top, odd_end, 0x88));
        _mm512_store_si512(pairs + ROWS * (i + 8), _mm512_shuffle_i32x4(even_top, even_end, 0xdd));
        _mm512_store_si512(pairs + ROWS * (i + 12), _mm512_shuffle_i32x4(odd_top, odd_end, 0xdd));
    }
}

/* Ask for what is transposed next, a share of it at a time: it comes while the last is multiplied. */
static void fetch(const uint16_t *rows, int64_t lda, int64_t k, int64_t share, int64_t shares)
{
    int64_t lines = k / DEPTH; /* of 64 bytes, in a row */
    for (int64_t line = ROWS * lines * share / shares; line < ROWS * lines * (share + 1) / shares; line++)
        _mm_prefetch((const char *)(rows + line / lines * lda + line % lines * DEPTH), _MM_HINT_T1);
}

static inline __m512bh pair_of(const uint16_t *b)
{
    int pair;
    memcpy(&pair, b, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* 32 rows times `tokens` tokens; inlined once for each count, or the sums would not be registers. */
static inline __attribute__((always_inline)) void multiply(
    const int tokens, const uint32_t *pairs, const uint16_t *b, int64_t ldb, float *c, int64_t ldc, int64_t k)
{
    __m512 sums[TOKENS][2];
#pragma GCC unroll 12
    for (int j = 0; j < tokens; j++)
        sums[j][0] = sums[j][1] = _mm512_setzero_ps();
    for (int64_t at = 0; at < k; at += 2, pairs += ROWS) {
        __m512bh low = (__m512bh)_mm512_load_si512(pairs);
        __m512bh high = (__m512bh)_mm512_load_si512(pairs + 16);
#pragma GCC unroll 12
        for (int j = 0; j < tokens; j++) {
            __m512bh pair = pair_of(b + j * ldb + at);
            sums[j][0] = _mm512_dpbf16_ps(sums[j][0], low, pair);
            sums[j][1] = _mm512_dpbf16_ps(sums[j][1], high, pair);
        }
    }
#pragma GCC unroll 12
    for (int j = 0; j < tokens; j++) {
        _mm512_storeu_ps(c + j * ldc, sums[j][0]);
        _mm512_storeu_ps(c + j * ldc + 16, sums[j][1]);
    }
}

#define CASE(N) case N: multiply(N, pairs, b, ldb, c, ldc, k); break;

static void multiply_some(
    int tokens, const uint32_t *pairs, const uint16_t *b, int64_t ldb, float *c, int64_t ldc, int64_t k)
{
    switch (tokens) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    }
}

bool llamafile_sgemm(const struct params *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                     const void *b, int64_t ldb, void *c, int64_t ldc, int a_type, int b_type, int c_type)
{
    if (a_type != BF16 || b_type != BF16 || c_type != F32 || m % ROWS || k % DEPTH || n < 1)
        /* false: not computed, so llama.cpp takes the way that it has without such a product */
        return plain && plain(params, m, n, k, a, lda, b, ldb, c, ldc, a_type, b_type, c_type);
    uint32_t *pairs = aligned_alloc(64, ROWS * k * sizeof(uint16_t));
    if (pairs == NULL)
        abort(); /* another product would give other bits */
    int64_t calls = (n + TOKENS - 1) / TOKENS;
    int64_t step = ROWS * params->threads;
    for (int64_t row = ROWS * params->thread; row < m; row += step) {
        const uint16_t *rows = (const uint16_t *)a + row * lda;
        for (int64_t at = 0; at < k; at += DEPTH) {
            transpose(rows + at, lda, pairs + at / 2 * ROWS);
            transpose(rows + 16 * lda + at, lda, pairs + at / 2 * ROWS + 16);
        }
        for (int64_t call = 0, token = 0; call < calls; call++) {
            int tokens = (int)((n - token + calls - call - 1) / (calls - call)); /* as even as can be */
            if (row + step < m)
                fetch(rows + step * lda, lda, k, call, calls);
            multiply_some(tokens, pairs, (const uint16_t *)b + token * ldb, ldb,
                          (float *)c + token * ldc + row, ldc, k);
            token += tokens;
        }
    }
    free(pairs);
    if (params->thread == 0)
        computed++;
    return true;
}
