// The CUDA kernels of `CupyLayers`: batch normalization, and activations with a slope. `kernels.cu` comes first.

// ---------------------------------------------------------------------- activations

extern "C" __global__ void leaky(const float* x, float* y, bool* positive, u32 n, float slope) {
    EACH(i, n) y[i] = (positive[i] = x[i] > 0) ? x[i] : slope * x[i];
}

extern "C" __global__ void leaky_backward(const float* gy, const bool* positive, float* gx, u32 n, float slope) {
    EACH(i, n) gx[i] = positive[i] ? gy[i] : slope * gy[i];
}

extern "C" __global__ void tanh_backward(const float* gy, const float* y, float* gx, u32 n) {
    EACH(i, n) gx[i] = gy[i] * (1.0f - y[i] * y[i]);
}

// ---------------------------------------------------------------------- normalization

// x has the shape (N, C, inner): a channel has n = N inner numbers. A channel is processed by one block of 256 threads, so
// that sums have one order.
#define EACH_CHANNEL(c) for (u32 c = blockIdx.x; c < channels; c += gridDim.x)
// Its element e is x[i].
#define EACH_IN(c, i) \
    for (u32 e = threadIdx.x, i; e < n && (i = (e / inner * channels + c) * inner + e % inner, true); e += blockDim.x)

extern "C" __global__ void batch_norm(const float* x, const float* gain, const float* bias, float* y, float* mean,
                                      float* variance, u32 n, u32 channels, u32 inner, float eps) {
    EACH_CHANNEL(c) {
        float sum = 0, squares = 0;
        EACH_IN(c, i) sum += x[i];
        float m = block_sum(sum) / n;
        EACH_IN(c, i) squares += (x[i] - m) * (x[i] - m);
        float v = block_sum(squares) / n;
        float scale = 1.0f / sqrtf(v + eps) * (gain ? gain[c] : 1.0f), shift = bias ? bias[c] : 0.0f;
        EACH_IN(c, i) y[i] = (x[i] - m) * scale + shift;
        if (threadIdx.x == 0) mean[c] = m, variance[c] = v;
    }
}

extern "C" __global__ void batch_norm_backward(const float* gy, const float* x, const float* gain, const float* mean,
                                               const float* variance, float* gx, float* ggain, float* gbias, u32 n,
                                               u32 channels, u32 inner, float eps) {
    EACH_CHANNEL(c) {
        float m = mean[c], rate = 1.0f / sqrtf(variance[c] + eps), sum = 0, products = 0;
        EACH_IN(c, i) {
            sum += gy[i];
            products += gy[i] * (x[i] - m);
        }
        float gb = block_sum(sum), gg = block_sum(products) * rate;
        float shift = gb / n, slope = gg * rate / n, scale = rate * (gain ? gain[c] : 1.0f);
        EACH_IN(c, i) gx[i] = (gy[i] - shift - (x[i] - m) * slope) * scale;
        if (threadIdx.x == 0) ggain[c] = gg, gbias[c] = gb;
    }
}

extern "C" __global__ void follow_moments(float* running_mean, float* running_variance, const float* mean,
                                          const float* variance, u32 channels, float kept, float momentum,
                                          float unbiased) {
    EACH(c, channels) {
        running_mean[c] = running_mean[c] * kept + momentum * mean[c];
        running_variance[c] = running_variance[c] * kept + momentum * (variance[c] * unbiased);
    }
}
