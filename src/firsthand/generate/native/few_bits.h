/* Products with weights in few bits (codes.py): 8 or 4 a number, a scale and perhaps a zero for each group of a row.

   The input is rounded to 16 bits first, each UNIT of it with a scale of its own. Then the products within a unit are
   whole numbers whose sum is exact, and only that sum is scaled: two numbers in the time of one, and no conversion of
   every code. An output moves by less than a fiftieth of what an input in bf16 costs (docs/generation.md).

   Rows of codes are filled up to PAIRs of units. 8 bits: a signed byte each. 4 bits: byte j of a pair has number j in
   its lower half and number j + UNIT in the upper one. */

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

enum { UNIT = 32, PAIR = 2 * UNIT };

typedef struct { /* an input as whole numbers, and the scale of each unit */
    int16_t *numbers;
    float *scales;
    float *groups, *factors; /* of one row of the weight: each group's scale; each unit's with the input's */
    int units;
} Whole;

static Whole whole_in(float *room, int m) { /* room: 5/8 of m rounded up to PAIR is enough */
    const int units = (m + PAIR - 1) / PAIR * 2;
    float *after = room + units * UNIT / 2;
    return (Whole){(int16_t *)room, after, after + units, after + 2 * units, units};
}

static void make_whole(Whole to, const float *x, int m) {
    const float magic = 12582912.0f; /* adding it rounds to an integer */
    for (int u = 0; u < to.units; u++) {
        const int from = u * UNIT, count = m - from < UNIT ? (m > from ? m - from : 0) : UNIT;
        float values[UNIT] = {0}, largest = 0, none = 0;
        for (int j = 0; j < count; j++) values[j] = x[from + j];
        _Pragma("omp simd reduction(max : largest) reduction(+ : none)") for (int j = 0; j < UNIT; j++) {
            const float size = fabsf(values[j]);
            largest = size > largest ? size : largest;
            none += 0 * size; /* NaN if a number is none, and then the outputs are */
        }
        const float by = largest > 1e-30f ? 32767 / largest : 0;
        for (int j = 0; j < UNIT; j++) to.numbers[from + j] = (int16_t)(int32_t)((values[j] * by + magic) - magic);
        to.scales[u] = largest / 32767 + none;
    }
}

static inline float scale_at(const Instruction *op, size_t index) {
    if (op->narrow == FP32) return ((const float *)op->scales)[index];
    const uint16_t bits = ((const uint16_t *)op->scales)[index];
    return op->narrow == BF16 ? widened(bits) : as_float((uint32_t)(bits & 0x7fff) << 13) * 0x1p112f; /* fp16 */
}

/* The scales of row i. Groups are a unit, or whole pairs whose products are added before they are scaled. */
static void scales_of(const Instruction *op, size_t i, Whole x) {
    const size_t start = i * op->groups;
    for (int g = 0; g < op->groups; g++) x.groups[g] = scale_at(op, start + g) * op->b;
    for (int u = 0; op->per == 1 && u < x.units; u++) x.factors[u] = x.groups[u] * x.scales[u];
}

#ifdef __AVX512BW__
typedef __m512i Levels; /* as 16-bit numbers, twice: of an index five bits count */

static inline __m512 scaled(__m512 sum, __m512i codes, const Whole *x, int u, const float *factors) {
    const __m512i products = _mm512_madd_epi16(codes, _mm512_loadu_si512(x->numbers + u * UNIT));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_set1_ps(factors[u]), sum);
}

/* Units `u` to `end` of a row of codes, each scaled by its factor, in 16 sums. zeros: of each unit, or of all. */
static inline __m512 dot_of_units(const Instruction *op, const char *row, Whole x, Levels levels, int u, int end,
                                  const float *factors, const int16_t *zeros) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    const int each = op->per == 1;
    for (; u < end; u += 2) {
        __m512i first, second;
        if (op->format == INT8) {
            const __m256i *codes = (const __m256i *)(row + u * UNIT);
            first = _mm512_cvtepi8_epi16(_mm256_loadu_si256(codes));
            second = _mm512_cvtepi8_epi16(_mm256_loadu_si256(codes + 1));
        } else {
            const __m512i both = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(row + u / 2 * UNIT)));
            first = _mm512_permutexvar_epi16(both, levels);
            second = _mm512_permutexvar_epi16(_mm512_srli_epi16(both, 4), levels);
        }
        if (zeros) {
            first = _mm512_sub_epi16(first, _mm512_set1_epi16(zeros[each ? u : 0]));
            second = _mm512_sub_epi16(second, _mm512_set1_epi16(zeros[each ? u + 1 : 0]));
        }
        even = scaled(even, first, &x, u, factors);
        odd = scaled(odd, second, &x, u + 1, factors);
    }
    return _mm512_add_ps(even, odd);
}

static float dot_of_codes(const Instruction *op, const char *row, Whole x, Levels levels, const int16_t *zeros) {
    if (op->per == 1) return _mm512_reduce_add_ps(dot_of_units(op, row, x, levels, 0, x.units, x.factors, zeros));
    __m512 sum = _mm512_setzero_ps();
    for (int g = 0, u = 0; g < op->groups; g++) {
        const int end = g + 1 < op->groups ? u + op->per : x.units;
        const __m512 group = dot_of_units(op, row, x, levels, u, end, x.scales, zeros ? zeros + g : NULL);
        sum = _mm512_fmadd_ps(group, _mm512_set1_ps(x.groups[g]), sum);
        u = end;
    }
    return _mm512_reduce_add_ps(sum);
}
#else
typedef const int16_t *Levels;

static float dot_of_codes(const Instruction *op, const char *row, Whole x, Levels levels, const int16_t *zeros) {
    float total = 0;
    for (int u = 0; u < x.units; u++) {
        const int16_t *numbers = x.numbers + u * UNIT;
        const int8_t *bytes = (const int8_t *)row + u * UNIT;
        const uint8_t *pair = (const uint8_t *)row + u / 2 * UNIT;
        const int group = u / op->per < op->groups ? u / op->per : op->groups - 1, zero = zeros ? zeros[group] : 0;
        int32_t sum = 0;
        int64_t fine = 0; /* levels may have 16 bits */
        if (op->format == INT8)
            for (int j = 0; j < UNIT; j++) sum += (bytes[j] - zero) * numbers[j];
        else
            for (int j = 0; j < UNIT; j++) fine += (levels[pair[j] >> u % 2 * 4 & 15] - zero) * numbers[j];
        total += x.groups[group] * x.scales[u] * (float)(sum + fine);
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
    const Levels table = _mm512_loadu_si512(levels);
#else
    const Levels table = levels;
#endif
    const size_t width = (size_t)(op->m + PAIR - 1) / PAIR * (op->format == INT8 ? PAIR : UNIT);
    for (int r = 0; r < rows; r++) make_whole(whole_in(apart + r * widest, op->m), x + r * strip_x, op->m);
    for (int i = from; i < to; i++) {
        const char *row = (const char *)op->weight + i * width;
        const int16_t *zeros = op->zeros ? op->zeros + (size_t)i * op->groups : NULL;
        prefetch(row, width);
        for (int r = 0; r < rows; r++) {
            const Whole input = whole_in(apart + r * widest, op->m);
            scales_of(op, i, input);
            const float value = dot_of_codes(op, row, input, table, zeros) + (op->bias ? op->bias[i] : 0);
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
        for (int j = 0; j < UNIT; j++) values[j] = (values[j] - zero) * scale;
        memcpy(y + u * UNIT, values, count == UNIT ? sizeof values : count * sizeof *values);
    }
}
