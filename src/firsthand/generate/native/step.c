/* One token after another through a whole model: a list of instructions (program.py) carried out in one call.

   Every row of text has a strip of floats, in which an instruction finds its input at x and leaves its output at y.
   Weights are fp32, bf16 or few bits (few_bits.h), keys and values fp32 or bf16; all else is fp32. With several threads each takes its share of a
   product's outputs and of attention's heads; what is left is small, and a row of text is one thread's. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum { EMBED, PLACE, RMS_NORM, LAYER_NORM, PRODUCT, ROTATE, ATTEND, ACTIVATE, MIX, CAP };
enum { IDENTITY, GELU, GELU_TANH, RELU, RELU2, SILU };
enum { FP32, BF16, FP16, INT8, INT4 };

typedef struct {
    int32_t kind, layer;
    int32_t x, y, z;       /* where in the strip: input, output, a second input or -1 */
    int32_t n, m, groups;  /* numbers of the output and of the input (of each group) */
    int32_t format, flag;  /* of the weight; which activation or layout; whether a product is added to y */
    int32_t per, narrow;   /* of a weight in few bits: units that share a scale; the scales' format */
    float a, b;
    const void *weight;
    const float *bias;
    const void *scales;    /* of each row: `groups`, as are zeros, or NULL */
    const int16_t *zeros;
    const float *levels;   /* of 4 bits: what each of the 16 codes stands for, a multiple of b */
} Instruction;

typedef struct {
    float *strips, *scores;       /* of each row: `strip` floats; `capacity` floats for each head of its keys */
    float *apart;                 /* of each thread and row: `widest` floats, room for the longest input of a product */
    void **keys, **values;        /* of each layer: rows x heads x capacity x d_head */
    const int64_t *tokens;        /* of each row */
    const int32_t *first;         /* the column where each row's text begins: what is to the left is padding */
    int32_t strip, widest, rows, column, capacity, half, threads;
} Text;

enum { AHEAD = 2048 }; /* bytes */

static inline float as_float(uint32_t bits) {
    union { uint32_t bits; float value; } both = {bits};
    return both.value;
}

static inline float widened(uint16_t bits) {
    return as_float((uint32_t)bits << 16);
}

static inline uint16_t rounded(float value) { /* to the nearest bf16, ties to even */
    union { float value; uint32_t bits; } both = {value};
    return (uint16_t)((both.bits + 0x7fff + ((both.bits >> 16) & 1)) >> 16);
}

static inline float exp_(float x) { /* 2^k times a polynomial, to rounding; unlike expf it makes vector code */
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float magic = 12582912.0f; /* adding it rounds to an integer */
    const float k = (x * 1.44269504f + magic) - magic;
    const float f = (x - k * 0.693145752f) - k * 1.42860677e-6f;
    float p = 1.0f / 720;
    p = p * f + 1.0f / 120, p = p * f + 1.0f / 24, p = p * f + 1.0f / 6, p = p * f + 0.5f, p = p * f + 1, p = p * f + 1;
    union { int32_t bits; float value; } power = {((int32_t)k + 127) << 23};
    return p * power.value;
}

static inline float tanh_(float x) { return 1 - 2 / (1 + exp_(2 * x)); }

/* Ask for the numbers of the next rows while this one is multiplied: processors guess such streams too late. */
static inline void prefetch(const void *row, size_t bytes) {
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const char *)row + AHEAD + line);
}

#include "few_bits.h"

#define DOT(TYPE, VALUE)                                                                                              \
    {                                                                                                                 \
        const TYPE *w = weight;                                                                                       \
        _Pragma("omp simd reduction(+ : sum)") for (int j = 0; j < m; j++) sum += x[j] * VALUE(w[j]);                 \
    }

static float dot(const void *weight, int half, const float *x, int m) {
    float sum = 0;
    if (half) DOT(uint16_t, widened) else DOT(float, )
    return sum;
}

static inline const void *at(const void *numbers, int half, size_t index) {
    return half ? (const void *)((const uint16_t *)numbers + index) : (const void *)((const float *)numbers + index);
}

/* As dot, of two weights in bf16 at a time, as they lie in 32 bits: even and odd numbers of x stand apart. */
static float dot_of_pairs(const uint32_t *weight, const float *even, const float *odd, int pairs) {
    float low = 0, high = 0;
    _Pragma("omp simd reduction(+ : low, high)") for (int j = 0; j < pairs; j++) {
        low += even[j] * as_float(weight[j] << 16);
        high += odd[j] * as_float(weight[j] & 0xffff0000u);
    }
    return low + high;
}

static void product(const Instruction *op, const Text *text, int part, int parts) {
    const int from = op->n * part / parts, to = op->n * (part + 1) / parts, m = op->m, rows = text->rows;
    float *apart = text->apart + (size_t)part * rows * text->widest;
    const int half = op->format == BF16;
    if (op->format >= INT8) {
        product_of_codes(op, text->strips + op->x, text->strips + op->y, text->strip, text->strip, rows, apart,
                         text->widest, from, to);
        return;
    }
    for (int r = 0; half && r < rows; r++) {
        const float *x = text->strips + (size_t)r * text->strip + op->x;
        float *even = apart + (size_t)r * text->widest, *odd = even + m / 2;
        for (int j = 0; j < m / 2; j++) even[j] = x[2 * j], odd[j] = x[2 * j + 1];
    }
    for (int i = from; i < to; i++) {
        const void *weight = at(op->weight, half, (size_t)i * m);
        prefetch(weight, (size_t)m * (half ? 2 : 4));
        for (int r = 0; r < rows; r++) {
            float *strip = text->strips + (size_t)r * text->strip, *y = strip + op->y + i;
            const float *even = apart + (size_t)r * text->widest;
            float value = half ? dot_of_pairs(weight, even, even + m / 2, m / 2) : dot(weight, 0, strip + op->x, m);
            value += op->bias ? op->bias[i] : 0;
            *y = op->flag ? *y + op->a * value : value;
        }
    }
}

static void keep(void *memory, int half, size_t start, const float *x, int n) {
    if (half)
        for (int i = 0; i < n; i++) ((uint16_t *)memory)[start + i] = rounded(x[i]);
    else
        for (int i = 0; i < n; i++) ((float *)memory)[start + i] = x[i];
}

static void add_scaled(float *y, const void *memory, int half, float by, int n) {
    const uint16_t *narrow = memory;
    const float *wide = memory;
    if (half)
        for (int i = 0; i < n; i++) y[i] += by * widened(narrow[i]);
    else
        for (int i = 0; i < n; i++) y[i] += by * wide[i];
}

/* groups: heads of keys; m: queries of each; n: d_head. x: queries, then keys, then values. Keep, then look up. */
static void attend(const Instruction *op, const Text *text, int r, int head) {
    const int n = op->n, half = text->half, first = text->first[r], last = text->column;
    float *strip = text->strips + (size_t)r * text->strip;
    float *scores = text->scores + ((size_t)r * op->groups + head) * text->capacity;
    const float *queries = strip + op->x + head * op->m * n, *key = strip + op->x + (op->groups * op->m + head) * n;
    const size_t start = ((size_t)r * op->groups + head) * text->capacity * n;
    void *keys = text->keys[op->layer], *values = text->values[op->layer];
    keep(keys, half, start + (size_t)last * n, key, n);
    keep(values, half, start + (size_t)last * n, key + op->groups * n, n);
    for (int q = 0; q < op->m; q++) {
        float *y = strip + op->y + (head * op->m + q) * n, largest = -INFINITY, sum = 0;
        for (int t = first; t <= last; t++) {
            scores[t] = op->a * dot(at(keys, half, start + (size_t)t * n), half, queries + q * n, n);
            largest = scores[t] > largest ? scores[t] : largest;
        }
        for (int t = first; t <= last; t++) scores[t] = exp_(scores[t] - largest);
        _Pragma("omp simd reduction(+ : sum)") for (int t = first; t <= last; t++) sum += scores[t];
        for (int i = 0; i < n; i++) y[i] = 0;
        for (int t = first; t <= last; t++)
            add_scaled(y, at(values, half, start + (size_t)t * n), half, scores[t] / sum, n);
    }
}

static void normalize(const Instruction *op, float *strip) {
    for (int g = 0; g < op->groups; g++) {
        const float *x = strip + op->x + g * op->n, *gain = op->weight;
        float *y = strip + op->y + g * op->n, mean = 0, square = 0;
        _Pragma("omp simd reduction(+ : mean)") for (int i = 0; i < op->n; i++) mean += x[i];
        mean = op->kind == LAYER_NORM ? mean / op->n : 0;
        _Pragma("omp simd reduction(+ : square)") for (int i = 0; i < op->n; i++)
            square += (x[i] - mean) * (x[i] - mean);
        const float inverse = 1 / sqrtf(square / op->n + op->a);
        for (int i = 0; i < op->n; i++) {
            const float unit = (x[i] - mean) * inverse * (gain ? gain[i] : 1);
            y[i] = op->bias ? unit + op->bias[i] : unit;
        }
    }
}

/* groups of n channels, x · cos + partner · sin: weight has both for each channel (ops/rotate); flag: pairs are halves */
static void rotate(const Instruction *op, float *strip, int position) {
    const float *cos = (const float *)op->weight + (size_t)position * 2 * op->n, *sin = cos + op->n;
    const int half = op->n / 2;
    for (int g = 0; g < op->groups; g++) {
        float *x = strip + op->x + g * op->n;
        for (int i = 0; i < half; i++) {
            const int a = op->flag ? i : 2 * i, b = op->flag ? i + half : 2 * i + 1;
            const float left = x[a], right = x[b];
            x[a] = left * cos[a] + right * sin[a];
            x[b] = right * cos[b] + left * sin[b];
        }
    }
}

static void activate(const Instruction *op, float *strip) {
    const float *restrict x = strip + op->x, *gated = op->z < 0 ? NULL : strip + op->z;
    float *y = strip + op->y;
    const int n = op->n;
    switch (op->flag) {
    case GELU: for (int i = 0; i < n; i++) y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678f)); break;
    case GELU_TANH:
        for (int i = 0; i < n; i++)
            y[i] = 0.5f * x[i] * (1 + tanh_(0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
        break;
    case RELU: for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0; break;
    case RELU2: for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] * x[i] : 0; break;
    case SILU: for (int i = 0; i < n; i++) y[i] = x[i] / (1 + exp_(-x[i])); break;
    default: for (int i = 0; i < n; i++) y[i] = x[i];
    }
    if (gated)
        for (int i = 0; i < n; i++) y[i] *= gated[i];
}

static void embed(const Instruction *op, int64_t token, float *y) {
    const int half = op->format == BF16;
    if (op->format >= INT8) {
        unfold_row(op, (size_t)token, y);
        return;
    }
    for (int i = 0; i < op->n; i++) y[i] = 0;
    add_scaled(y, at(op->weight, half, (size_t)token * op->n), half, 1, op->n);
}

static void of_one_row(const Instruction *op, const Text *text, int r) {
    float *strip = text->strips + (size_t)r * text->strip, *x = strip + op->x, *y = strip + op->y;
    const int position = text->column - text->first[r];
    switch (op->kind) {
    case EMBED: embed(op, text->tokens[r], y); break;
    case PLACE: add_scaled(y, (const float *)op->weight + (size_t)position * op->n, 0, 1, op->n); break;
    case RMS_NORM:
    case LAYER_NORM: normalize(op, strip); break;
    case ROTATE: rotate(op, strip, position); break;
    case ACTIVATE: activate(op, strip); break;
    case MIX: for (int i = 0; i < op->n; i++) y[i] = op->a * y[i] + op->b * x[i]; break;
    case CAP: for (int i = 0; i < op->n; i++) y[i] = op->a * tanh_(y[i] / op->a); break;
    }
}

static void carry_out(const Instruction *op, const Text *text, int part, int parts) {
    if (op->kind == PRODUCT) product(op, text, part, parts);
    else if (op->kind == ATTEND)
        for (int task = part; task < text->rows * op->groups; task += parts)
            attend(op, text, task / op->groups, task % op->groups);
    else
        for (int r = part; r < text->rows; r += parts) of_one_row(op, text, r);
}

void step(const Instruction *program, int from, int to, const Text *text) {
    if (text->threads == 1) {
        for (int i = from; i < to; i++) carry_out(program + i, text, 0, 1);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel num_threads(text->threads)
    for (int i = from; i < to; i++) {
        carry_out(program + i, text, omp_get_thread_num(), omp_get_num_threads());
#pragma omp barrier
    }
#else
    for (int i = from; i < to; i++) carry_out(program + i, text, 0, 1);
#endif
}

/* A single product with a weight in few bits, for whoever carries out the rest. apart: `threads` x rows x widest. */
void multiply(const Instruction *op, const float *x, float *y, float *apart, int rows, int widest, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; part++)
        product_of_codes(op, x, y, op->m, op->n, rows, apart + (size_t)part * rows * widest, widest,
                         op->n * part / threads, op->n * (part + 1) / threads);
}

/* A whole weight in few bits, in fp32 or bf16. apart: `threads` x m, for the latter. */
void unfold(const Instruction *op, void *to, float *apart, int half, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; part++)
        for (int i = op->n * part / threads; i < op->n * (part + 1) / threads; i++) {
            const size_t start = (size_t)i * op->m;
            float *row = half ? apart + (size_t)part * op->m : (float *)to + start;
            unfold_row(op, i, row);
            for (int j = 0; half && j < op->m; j++) ((uint16_t *)to)[start + j] = rounded(row[j]);
        }
}
