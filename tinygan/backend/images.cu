// The CUDA kernels of images: pooling, and the matrices of a convolution. `kernels.cu` comes first.
//
// A window of h x k pixels lies on images of H x W at I x J places, (s, t) pixels from one another. The first begins (p, q)
// pixels before the image. Pixels outside of the image do not exist. Each result is computed by one thread, in an order
// that does not change: no two threads add to one number.

// ---------------------------------------------------------------------- pooling

// Each maximum and its place in the window, row by row: the first of the largest numbers, or the first nan.
extern "C" __global__ void max_pool(const float* x, float* y, u8* place, u32 n, u32 H, u32 W, u32 I, u32 J, u32 h,
                                    u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        const float* image = x + e / (I * J) * H * W;
        int top = e / J % I * s - p, left = e % J * t - q;
        float best = 0;
        int winner = -1;
        for (int a = max(0, -top); a < (int)h && top + a < (int)H; a++)
            for (int b = max(0, -left); b < (int)k && left + b < (int)W; b++) {
                float pixel = image[(top + a) * W + left + b];
                if (winner < 0 || pixel > best || (pixel != pixel && best == best)) {
                    best = pixel;
                    winner = a * k + b;
                }
            }
        y[e] = best;
        place[e] = winner;
    }
}

// The windows that pixel r of an axis is in are first, ..., last; none if last < first.
__device__ int first_window(u32 r, u32 size, u32 step, u32 padding) {
    return r + padding < size ? 0 : (r + padding - size) / step + 1;
}
__device__ int last_window(u32 r, u32 step, u32 padding, u32 count) {
    u32 last = (r + padding) / step;
    return last < count ? last : count - 1;
}

// Each pixel gets the gradients of the windows whose maximum it is.
extern "C" __global__ void max_pool_backward(const float* gy, const u8* place, float* gx, u32 n, u32 H, u32 W, u32 I,
                                             u32 J, u32 h, u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        u32 image = e / (H * W) * I * J, r = e / W % H, c = e % W;
        float sum = 0;
        for (int i = first_window(r, h, s, p); i <= last_window(r, s, p, I); i++)
            for (int j = first_window(c, k, t, q); j <= last_window(c, t, q, J); j++) {
                u32 window = image + i * J + j;
                if (place[window] == (r + p - i * s) * k + c + q - j * t) sum += gy[window];
            }
        gx[e] = sum;
    }
}

// The pixel that was the maximum of each window.
extern "C" __global__ void winners(const float* x, const u8* place, float* y, u32 n, u32 H, u32 W, u32 I, u32 J, u32 h,
                                   u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        u32 r = e / J % I * s + place[e] / k - p, c = e % J * t + place[e] % k - q;
        y[e] = x[e / (I * J) * H * W + r * W + c];
    }
}

extern "C" __global__ void sum_pool(const float* x, float* y, u32 n, u32 H, u32 W, u32 I, u32 J, u32 h, u32 k, u32 s,
                                    u32 t, u32 p, u32 q) {
    EACH(e, n) {
        const float* image = x + e / (I * J) * H * W;
        int top = e / J % I * s - p, left = e % J * t - q;
        float sum = 0;
        for (int a = max(0, -top); a < (int)h && top + a < (int)H; a++)
            for (int b = max(0, -left); b < (int)k && left + b < (int)W; b++) sum += image[(top + a) * W + left + b];
        y[e] = sum;
    }
}

extern "C" __global__ void sum_pool_backward(const float* gy, float* gx, u32 n, u32 H, u32 W, u32 I, u32 J, u32 h,
                                             u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        const float* windows = gy + e / (H * W) * I * J;
        u32 r = e / W % H, c = e % W;
        float sum = 0;
        for (int i = last_window(r, s, p, I); i >= first_window(r, h, s, p); i--)
            for (int j = last_window(c, t, q, J); j >= first_window(c, k, t, q); j--) sum += windows[i * J + j];
        gx[e] = sum;
    }
}

// ---------------------------------------------------------------------- convolution

// x has the shape (N, C, H, W), columns (C h k, N I J): column (n, i, j) is the window (i, j) of image n, 0 outside.
extern "C" __global__ void im2col(const float* x, float* columns, u32 n, u32 N, u32 C, u32 H, u32 W, u32 I, u32 J,
                                  u32 h, u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        u32 place = e % (N * I * J), element = e / (N * I * J), b = element % k, a = element / k % h;
        u32 r = place / J % I * s + a - p, c = place % J * t + b - q;  // before the image: far above H
        u32 image = place / (I * J) * C + element / (h * k);
        columns[e] = r < H && c < W ? x[(image * H + r) * W + c] : 0;
    }
}

// The adjoint: each pixel is the sum of all elements of the columns that im2col would fill with it.
extern "C" __global__ void col2im(const float* columns, float* x, u32 n, u32 N, u32 C, u32 H, u32 W, u32 I, u32 J,
                                  u32 h, u32 k, u32 s, u32 t, u32 p, u32 q) {
    EACH(e, n) {
        u32 c = e % W, r = e / W % H, channel = e / (H * W) % C, image = e / (H * W) / C;
        float sum = 0;
        for (int i = last_window(r, s, p, I); i >= first_window(r, h, s, p); i--)
            for (int j = last_window(c, t, q, J); j >= first_window(c, k, t, q); j--) {
                u32 element = (channel * h + r + p - i * s) * k + c + q - j * t;
                sum += columns[element * (N * I * J) + (image * I + i) * J + j];
            }
        x[e] = sum;
    }
}
