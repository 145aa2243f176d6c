// The CUDA kernels of `CupyBackend`: each computes a method of `Backend` in one pass over memory.
//
// All arrays are float32 in C order; `CupyBackend` sends everything else to the portable method. Elements are counted by
// 32-bit numbers: n stays below 2^31, so that a counter plus a stride fits. Products are not contracted with sums
// (the source is compiled with --fmad=false), so where only + - * / and the square root are involved, the results have
// the bits that NumPy's have. CuPy compiles with -ftz=true: a number below 2^-126 = 1.2e-38 is 0.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Each thread processes every (number of threads)-th element, so any grid covers any n.
#define EACH(i, n) for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// ---------------------------------------------------------------------- activations

__device__ float sigmoid_of(float x) {
    float small = expf(-fabsf(x));  // in (0, 1]
    return (x >= 0 ? 1.0f : small) / (1.0f + small);
}

__device__ float softplus_of(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

extern "C" __global__ void add_bias(float* y, const float* bias, u32 n, u32 units) {
    EACH(i, n) y[i] += bias[i % units];
}

extern "C" __global__ void relu(const float* x, float* y, u32 n) {
    EACH(i, n) y[i] = x[i] <= 0 ? 0 : x[i];  // nan is not <= 0, and stays
}

extern "C" __global__ void relu_backward(const float* gy, const float* y, float* gx, u32 n) {
    EACH(i, n) gx[i] = y[i] != 0 ? gy[i] : 0;  // the gradient passes through a nan
}

extern "C" __global__ void sigmoid(const float* x, float* y, u32 n) {
    EACH(i, n) y[i] = sigmoid_of(x[i]);
}

extern "C" __global__ void sigmoid_backward(const float* gy, const float* y, float* gx, u32 n) {
    EACH(i, n) gx[i] = gy[i] * y[i] * (1.0f - y[i]);
}

extern "C" __global__ void softplus(const float* x, float* y, u32 n) {
    EACH(i, n) y[i] = softplus_of(x[i]);
}

// x has the shape (outer, pieces, inner): the winner of a unit is the first of its largest pieces, or its first nan.
extern "C" __global__ void maxout(const float* x, float* y, bool* won, u32 outer, u32 pieces, u32 inner) {
    EACH(i, outer * inner) {
        u32 first = i / inner * pieces * inner + i % inner, winner = 0;
        float best = x[first];
        for (u32 p = 1; p < pieces; p++) {
            float piece = x[first + p * inner];
            if (piece > best || (piece != piece && best == best)) {
                best = piece;
                winner = p;
            }
        }
        y[i] = best;
        for (u32 p = 0; p < pieces; p++) won[first + p * inner] = p == winner;
    }
}

extern "C" __global__ void maxout_backward(const float* gy, const bool* won, float* gx, u32 n, u32 pieces, u32 inner) {
    EACH(i, n) gx[i] = won[i] ? gy[i / (pieces * inner) * inner + i % inner] : 0;
}

// ---------------------------------------------------------------------- losses

// Sums `value` over the threads of one block of 256; each gets the sum.
__device__ float block_sum(float value) {
    __shared__ float shared[256];
    shared[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    float sum = shared[0];
    __syncthreads();  // before the next call writes
    return sum;
}

// The mean of t softplus(-a) + (1 - t) softplus(a) for a target t that is 0 or 1; one block of 256 threads.
extern "C" __global__ void cross_entropy(const float* logits, float* loss, u32 n, u32 target) {
    float sum = 0;
    EACH(i, n) sum += softplus_of(target ? -logits[i] : logits[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) *loss = sum / n;
}

// gloss (sigmoid(a) - t) / n
extern "C" __global__ void cross_entropy_backward(const float* gloss, const float* logits, float* gx, u32 n,
                                                  float target) {
    EACH(i, n) gx[i] = *gloss / n * (sigmoid_of(logits[i]) - target);
}

// Adds one step to running sums: two numbers; of a binary classifier, from its outputs for examples of class 1 and of
// class 0, the mean over each (of the probability of class 1, or of the output), and the balanced accuracy. Then follow the number of steps, and the
// first step that was not finite (0: none). Each sum is kept with the rounding error it has made so far (Kahan, 1965).
// One block of 256 threads.
extern "C" __global__ void add_scores(float* sums, float* errors, const float* first, const float* second,
                                      const float* positive, const float* negative, u32 positives, u32 negatives,
                                      float threshold, u32 probability) {
    float mean_positive = 0, mean_negative = 0, right_positive = 0, right_negative = 0;
    EACH(i, positives) {
        mean_positive += probability ? sigmoid_of(positive[i]) : positive[i];
        right_positive += positive[i] > threshold;
    }
    EACH(i, negatives) {
        mean_negative += probability ? sigmoid_of(negative[i]) : negative[i];
        right_negative += negative[i] <= threshold;
    }
    mean_positive = block_sum(mean_positive) / positives;
    mean_negative = block_sum(mean_negative) / negatives;
    right_positive = block_sum(right_positive) / positives;
    right_negative = block_sum(right_negative) / negatives;
    if (threadIdx.x == 0) {
        float terms[5] = {*first, *second, mean_positive, mean_negative, (right_positive + right_negative) / 2};
        bool finite = true;
        for (int i = 0; i < 5; i++) {
            finite = finite && isfinite(terms[i]);
            float term = terms[i] - errors[i], sum = sums[i] + term;
            errors[i] = (sum - sums[i]) - term;
            sums[i] = sum;
        }
        sums[5] += 1;
        if (!finite && sums[6] == 0) sums[6] = sums[5];
    }
}

// ---------------------------------------------------------------------- randomness

// Word number `word` of the stream with this key: Philox4x64-10 (Salmon et al., 2011), in the order in which NumPy draws.
__device__ u64 philox(u64 key0, u64 key1, u64 word) {
    u64 c0 = word >> 2, c1 = 0, c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        u64 high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0), low0 = 0xD2E7470EE14C6C93ull * c0;
        u64 high1 = __umul64hi(0xCA5A826395121157ull, c2), low1 = 0xCA5A826395121157ull * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
    switch (word & 3) {
        case 0: return c0;
        case 1: return c1;
        case 2: return c2;
        default: return c3;
    }
}

// In the kernels below thread w draws word w. `moved`, unless it is null, points to the number of words by which the
// stream has moved since the launch was recorded: each replay of a captured step draws from there.

extern "C" __global__ void uniform(float* out, u32 n, float width, float low, float least, float most, u64 key0,
                                   u64 key1, u64 first, const u64* moved) {
    if (moved) first += *moved;
    EACH(w, (n + 1) / 2) {
        u64 word = philox(key0, key1, first + w);
        u32 halves[2] = {(u32)word, (u32)(word >> 32)};
        for (u32 j = 0; j < 2; j++)
            if (2 * w + j < n) {
                float x = (halves[j] >> 8) * (1.0f / 16777216) * width + low;
                out[2 * w + j] = fminf(fmaxf(x, least), most);  // rounding may leave the interval
            }
    }
}

extern "C" __global__ void normal(float* out, u32 n, u64 key0, u64 key1, u64 first, const u64* moved) {
    if (moved) first += *moved;
    EACH(w, (n + 1) / 2) {
        u64 word = philox(key0, key1, first + w);
        float u = ((float)((u32)word >> 8) + 1) * (1.0f / 16777216), v = (float)((u32)(word >> 32) >> 8);
        float radius = sqrtf(logf(u) * -2), turn = v * (1.0f / 8388608);  // the angle in units of pi
        out[2 * w] = radius * cospif(turn);
        if (2 * w + 1 < n) out[2 * w + 1] = radius * sinpif(turn);
    }
}

// y = x mask, with a mask that is `scale` or 0.
extern "C" __global__ void dropout(const float* x, float* y, float* mask, u32 n, u32 threshold, float scale, u64 key0,
                                   u64 key1, u64 first, const u64* moved) {
    if (moved) first += *moved;
    EACH(w, (n + 3) / 4) {
        u64 word = philox(key0, key1, first + w);
        for (u32 j = 0; j < 4; j++) {
            u32 i = 4 * w + j;
            if (i < n) {
                mask[i] = (u32)(word >> (16 * j) & 0xFFFF) < threshold ? scale : 0;
                y[i] = x[i] * mask[i];
            }
        }
    }
}

// ---------------------------------------------------------------------- data

// Row r of the result is row order[first + r] of the table.
extern "C" __global__ void rows(const float* table, const long long* order, float* out, u32 n, u32 columns, u64 first,
                                const u64* moved) {
    if (moved) first += *moved;
    EACH(i, n) out[i] = table[order[first + i / columns] * columns + i % columns];
}

// ---------------------------------------------------------------------- update rules

// One launch updates many arrays of weights: the blocks with blockIdx.y = j process array j. Its gradient and the state
// that the rule keeps for it have the same size; a null pointer stands for no state.
#define MOST_ARRAYS 64
struct Arrays {
    float* weight[MOST_ARRAYS];
    const float* gradient[MOST_ARRAYS];
    float* first[MOST_ARRAYS];
    float* second[MOST_ARRAYS];
    u32 size[MOST_ARRAYS];
};
static_assert(sizeof(Arrays) == 36 * MOST_ARRAYS, "the layout of kernels.py; a launch takes 4096 bytes at most");

// Unless it is null, `rates` replaces the numbers before it: a captured step reads there the numbers that change.

extern "C" __global__ void sgd_step(Arrays arrays, float lr, float momentum, float decay, const float* rates) {
    float *weight = arrays.weight[blockIdx.y], *velocity = arrays.first[blockIdx.y];
    const float* gradient = arrays.gradient[blockIdx.y];
    if (rates) {
        lr = rates[0];
        momentum = rates[1];
        decay = rates[2];
    }
    EACH(i, arrays.size[blockIdx.y]) {
        float g = gradient[i];
        if (decay != 0) g += decay * weight[i];
        float step = -(lr * g);
        if (velocity) velocity[i] = step = velocity[i] * momentum + step;
        weight[i] += step;
    }
}

extern "C" __global__ void adam_step(Arrays arrays, float rate, float eps, float decay, float shrink, float beta1,
                                     float rest1, float beta2, float rest2, const float* rates) {
    float *weight = arrays.weight[blockIdx.y], *mean = arrays.first[blockIdx.y], *square = arrays.second[blockIdx.y];
    const float* gradient = arrays.gradient[blockIdx.y];
    if (rates) {
        rate = rates[0], eps = rates[1], decay = rates[2], shrink = rates[3];
        beta1 = rates[4], rest1 = rates[5], beta2 = rates[6], rest2 = rates[7];
    }
    EACH(i, arrays.size[blockIdx.y]) {
        float g = gradient[i];
        if (decay != 0) g += decay * weight[i];
        float m = g;
        if (mean) mean[i] = m = mean[i] * beta1 + rest1 * g;
        square[i] = square[i] * beta2 + rest2 * g * g;
        weight[i] = weight[i] * shrink - rate * m / (sqrtf(square[i]) + eps);
    }
}

extern "C" __global__ void lerp(Arrays arrays, float weight, const float* rates) {
    float* start = arrays.weight[blockIdx.y];
    const float* end = arrays.gradient[blockIdx.y];
    if (rates) weight = rates[0];
    EACH(i, arrays.size[blockIdx.y]) start[i] += weight * (end[i] - start[i]);
}

// `norms` holds the sum of the squares of each column; it becomes the Euclidean norm times `scales`. The scale is 1, or a
// power of two if squares overflow, or if the limit is so small that they vanish.
extern "C" __global__ void column_norms(const float* weight, float* norms, float* scales, u32 rows, u32 units,
                                        float limit) {
    EACH(unit, units) {
        float sum = norms[unit], scale = 1;
        if (!(sum <= 3.402823466e38f) || limit < 1e-15f) {
            float largest = 1e-36f;
            for (u32 row = 0; row < rows; row++) largest = fmaxf(largest, fabsf(weight[row * units + unit]));
            int exponent, exponent_of_limit;
            frexpf(fminf(largest, 3.402823466e38f), &exponent);
            frexpf(limit, &exponent_of_limit);
            scale = ldexpf(1, 2 - max(exponent, exponent_of_limit));  // at least 2^-126
            sum = 0;
            for (u32 row = 0; row < rows; row++) {
                float x = weight[row * units + unit] * scale;
                sum += x * x;
            }
        }
        norms[unit] = sqrtf(sum);
        scales[unit] = scale;
    }
}

extern "C" __global__ void scale_columns(float* weight, const float* norms, const float* scales, u32 n, u32 units,
                                         float limit) {
    EACH(i, n) {
        float norm = norms[i % units], scale = scales[i % units];
        if (!(norm <= limit * scale)) weight[i] = weight[i] * scale * (limit / norm);  // of a nan too
    }
}

// ---------------------------------------------------------------------- captured steps

// The host passes the numbers of a replay as arguments: launches are ordered, so nothing waits and nothing is copied.
extern "C" __global__ void set_rates(float* rates, float a, float b, float c, float d, float e, float f, float g,
                                     float h) {
    rates[0] = a, rates[1] = b, rates[2] = c, rates[3] = d, rates[4] = e, rates[5] = f, rates[6] = g, rates[7] = h;
}

extern "C" __global__ void set_moved(u64* moved, u64 value) { *moved = value; }
