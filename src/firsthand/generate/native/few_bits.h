/* Products with weights in few bits (codes.py): 8 or 4 a number, a scale and perhaps a zero for each group of a row.

   The input is rounded to 16 bits first, each UNIT of it with a scale of its own. Then the products within a unit are
   whole numbers whose sum is exact, and only that sum is scaled: two numbers in the time of one, and no conversion of
   every code. An output moves by some 1e-5 of its size, a hundredth of what an input in bf16 does (docs/generation.md).

   Rows of codes are filled up to PAIRs of units. 8 bits: a signed byte each. 4 bits: byte j of a pair has number j in
   its lower half and number j + UNIT in the upper one. */

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

enum { UNIT = 32, PAIR = 2 * UNIT };

typedef struct { /* an input as whole numbers; of each unit: its scale, their sum, and what its products are scaled by */
    int16_t *numbers;
    float *scales, *sums, *factors;
    int units;
} Whole;

static Whole whole_in(float *room, int m) { /* room: 3/4 of m rounded up to PAIR is enough */
    const int units = (m + PAIR - 1) / PAIR * 2;
    float *after = room + units * UNIT / 2;
    return (Whole){(int16_t *)room, after, after + units, after + 2 * units, units};
}

static void make_whole(Whole to, const float *x, int m) {
    const float magic = 12582912.0f; /* adding it rounds to an integer */
    for (int u = 0; u < to.units; u++) {
        const int from = u * UNIT, count = m - from < UNIT ? (m > from ? m - from : 0) : UNIT;
        float values[UNIT] = {0}, largest = 0, none = 0;
        int32_t sum = 0;
        for (int j = 0; j < count; j++) values[j] = x[from + j];
        _Pragma("omp simd reduction(max : largest) reduction(+ : none)") for (int j = 0; j < UNIT; j++) {
            const float size = fabsf(values[j]);
            largest = size > largest ? size : largest;
            none += 0 * size; /* NaN if a number is none, and then the outputs are */
        }
        const float by = largest > 1e-30f ? 32767 / largest : 0;
        _Pragma("omp simd reduction(+ : sum)") for (int j = 0; j < UNIT; j++) {
            const int32_t number = (int32_t)((values[j] * by + magic) - magic);
            to.numbers[from + j] = (int16_t)number;
            sum += number;
        }
        to.scales[u] = largest / 32767 + none;
        to.sums[u] = (float)sum;
    }
}

static inline float scale_at(const Instruction *op, size_t index) {
    if (op->narrow == FP32) return ((const float *)op->scales)[index];
    const uint16_t bits = ((const uint16_t *)op->scales)[index];
    return op->narrow == BF16 ? widened(bits) : as_float((uint32_t)(bits & 0x7fff) << 13) * 0x1p112f; /* fp16 */
}

/* What each unit of row i is scaled by; the answer is what the zeros take away. */
static float scale_units(const Instruction *op, size_t i, Whole x) {
    const size_t start = i * op->groups;
    const int8_t *zeros = op->zeros ? op->zeros + start : NULL;
    float off = 0;
    if (op->per == 1)
        for (int u = 0; u < op->groups; u++) x.factors[u] = scale_at(op, start + u) * op->b * x.scales[u];
    else
        for (int g = 0, u = 0; g < op->groups; g++) {
            const float scale = scale_at(op, start + g) * op->b;
            const int end = u + op->per < x.units ? u + op->per : x.units;
            for (; u < end; u++) x.factors[u] = scale * x.scales[u];
        }
    for (int u = op->per * op->groups; u < x.units; u++) x.factors[u] = 0; /* a whole unit to fill up */
    if (zeros)
        for (int g = 0, u = 0; g < op->groups; g++)
            for (int end = u + op->per < x.units ? u + op->per : x.units; u < end; u++)
                off += x.factors[u] * x.sums[u] * zeros[g];
    return off;
}

#ifdef __AVX512BW__
static inline __m512 scaled(__m512 sum, __m512i codes, const Whole *x, int u) {
    const __m512i products = _mm512_madd_epi16(codes, _mm512_loadu_si512(x->numbers + u * UNIT));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_set1_ps(x->factors[u]), sum);
}

static float dot_of_codes(const Instruction *op, size_t i, Whole x, __m512i levels) {
    const size_t width = (size_t)x.units * UNIT;
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    if (op->format == INT8) {
        const int8_t *row = (const int8_t *)op->weight + i * width;
        for (int u = 0; u < x.units; u += 2, row += PAIR) {
            even = scaled(even, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)row)), &x, u);
            odd = scaled(odd, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(row + UNIT))), &x, u + 1);
        }
    } else {
        const uint8_t *row = (const uint8_t *)op->weight + i * width / 2;
        for (int u = 0; u < x.units; u += 2, row += UNIT) { /* of an index five bits count, and levels are there twice */
            const __m512i both = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)row));
            even = scaled(even, _mm512_permutexvar_epi16(both, levels), &x, u);
            odd = scaled(odd, _mm512_permutexvar_epi16(_mm512_srli_epi16(both, 4), levels), &x, u + 1);
        }
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}
#else
static float dot_of_codes(const Instruction *op, size_t i, Whole x, const int16_t *levels) {
    const char *row = (const char *)op->weight + i * x.units * (op->format == INT8 ? UNIT : UNIT / 2);
    float total = 0;
    for (int u = 0; u < x.units; u++) {
        const int16_t *numbers = x.numbers + u * UNIT;
        const int8_t *bytes = (const int8_t *)row + u * UNIT;
        const uint8_t *pair = (const uint8_t *)row + u / 2 * UNIT;
        int32_t sum = 0;
        if (op->format == INT8)
            for (int j = 0; j < UNIT; j++) sum += bytes[j] * numbers[j];
        else
            for (int j = 0; j < UNIT; j++) sum += levels[pair[j] >> u % 2 * 4 & 15] * numbers[j];
        total += x.factors[u] * (float)sum;
    }
    return total;
}
#endif

/* Rows `from` to `to` of the weight times x, left in y or added to it. x and y: of each row of text `strip` floats. */
static void product_of_codes(const Instruction *op, const float *x, float *y, size_t strip_x, size_t strip_y, int rows,
                             float *apart, size_t widest, int from, int to) {
    int16_t levels[2 * 16] = {0};
    for (int l = 0; op->levels && l < 2 * 16; l++) levels[l] = (int16_t)lrintf(op->levels[l % 16] / op->b);
#ifdef __AVX512BW__
    const __m512i table = _mm512_loadu_si512(levels);
#else
    const int16_t *table = levels;
#endif
    const size_t width = (size_t)(op->m + PAIR - 1) / PAIR * (op->format == INT8 ? PAIR : UNIT);
    for (int r = 0; r < rows; r++) make_whole(whole_in(apart + r * widest, op->m), x + r * strip_x, op->m);
    for (int i = from; i < to; i++) {
        prefetch((const char *)op->weight + i * width, width);
        for (int r = 0; r < rows; r++) {
            const Whole input = whole_in(apart + r * widest, op->m);
            const float off = scale_units(op, i, input);
            const float value = dot_of_codes(op, i, input, table) - off + (op->bias ? op->bias[i] : 0);
            float *place = y + r * strip_y + i;
            *place = op->flag ? *place + op->a * value : value;
        }
    }
}

/* The levels that the 4 bits of a unit stand for. */
static inline void levels_of(const uint8_t *bytes, int shift, const float *levels, float *to) {
#ifdef __AVX512BW__
    const __m512 table = _mm512_loadu_ps(levels);
    for (int j = 0; j < UNIT; j += 16) { /* of an index four bits count */
        const __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(bytes + j)));
        _mm512_storeu_ps(to + j, _mm512_permutexvar_ps(_mm512_srli_epi32(codes, shift), table));
    }
#else
    for (int j = 0; j < UNIT; j++) to[j] = levels[bytes[j] >> shift & 15];
#endif
}

/* The numbers of row i, as the format defines them. */
static void unfold_row(const Instruction *op, size_t i, float *y) {
    const size_t width = (size_t)(op->m + PAIR - 1) / PAIR * (op->format == INT8 ? PAIR : UNIT);
    const char *row = (const char *)op->weight + i * width;
    for (int u = 0; u * UNIT < op->m; u++) {
        const size_t group = i * op->groups + u / op->per;
        const float scale = scale_at(op, group), zero = op->zeros ? op->zeros[group] : 0;
        const int count = op->m - u * UNIT < UNIT ? op->m - u * UNIT : UNIT;
        float values[UNIT];
        if (op->format == INT8)
            for (int j = 0; j < UNIT; j++) values[j] = ((const int8_t *)row)[u * UNIT + j];
        else
            levels_of((const uint8_t *)row + u / 2 * UNIT, u % 2 * 4, op->levels, values);
        for (int j = 0; j < count; j++) y[u * UNIT + j] = (values[j] - zero) * scale;
    }
}
