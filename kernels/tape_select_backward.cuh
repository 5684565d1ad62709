// The recurrence of tape_select in reverse (docs/ops.md), a block an example. Everything but the
// products of keys with the gradient goes channel by channel, so a channel's thread needs nobody
// else's values; the queries are recomputed and kept where the gradients of each step's first row
// will be.
#pragma once

#include "kernels/launch.cuh"
#include "kernels/tape_select.h"
#include "kernels/warp.cuh"

namespace adatape::kernels {

constexpr int kBackwardThreads = 128;
constexpr int kBackwardWarps = kBackwardThreads / kWarp;

/// One example's part of the launch.
template <class E>
struct SelectBackward {
  const TapeSelectBackward& p;
  const int64_t b;
  const int64_t first;  // slot
  const E* keys;
  const float keep, share;  // q <- keep q + share z

  __device__ __forceinline__ SelectBackward(const TapeSelectBackward& params, int64_t example)
      : p(params),
        b(example),
        first(example * params.max_tokens * params.merge),
        keys(static_cast<const E*>(params.keys) + example * params.keys_batch_stride),
        keep(params.average_query ? 0.5f : 0.0f),
        share(params.average_query ? 0.5f : 1.0f) {}

  __device__ __forceinline__ int32_t row(int64_t t, int64_t k) const {
    return k < p.merge ? p.index[first + t * p.merge + k] : -1;
  }
  __device__ __forceinline__ float weight(int64_t t, int64_t k) const {
    return static_cast<const float*>(p.weight)[first + t * p.merge + k];
  }
  __device__ __forceinline__ float key(int32_t row, int64_t c) const {
    return widen(keys[row * p.keys_row_stride + c]);
  }
  __device__ __forceinline__ float* gradient(int64_t t, int64_t k) const {
    return static_cast<float*>(p.grad_selected) + (first + t * p.merge + k) * p.width;
  }

  /// Channel c of each step's query, into gradient(t, 0).
  __device__ __forceinline__ void recompute_query(int64_t c, int steps) const {
    float q = widen(static_cast<const E*>(p.query)[b * p.query_stride + c]);
    for (int t = 0; t < steps; ++t) {
      gradient(t, 0)[c] = q;
      q *= keep;
      for (int64_t k = 0; row(t, k) >= 0; ++k) q += share * weight(t, k) * key(row(t, k), c);
    }
  }

  /// Gradients of step t's weights: a warp a row. In double, as what is left of them after the
  /// softmax's mean is taken off may be small.
  __device__ __forceinline__ void weight_gradients(int64_t t, const float* g, double* grad) const {
    const double grad_ponder = static_cast<const float*>(p.grad_ponder)[b];
    for (int64_t k = int(threadIdx.x) / kWarp; row(t, k) >= 0; k += kBackwardWarps) {
      const int32_t from = row(t, k);
      float dot = 0;
      for (int64_t c = lane_number(); c < p.width; c += kWarp) dot += key(from, c) * g[c];
      dot = warp_sum(dot);
      double total = double(static_cast<const float*>(p.grad_weight)[first + t * p.merge + k]) +
                     double(share * dot);
      if (p.gini) total -= 2.0 * weight(t, k) * grad_ponder;
      if (!p.gini && k == 0) total -= grad_ponder;
      if (lane_number() == 0) grad[k] = total;
    }
  }

  /// Gradients of step t's scores; one warp.
  __device__ __forceinline__ void score_gradients(int64_t t, const double* grad,
                                                  float* score) const {
    double mean = 0, total = 0;
    for (int64_t k = lane_number(); row(t, k) >= 0; k += kWarp) {
      mean += weight(t, k) * grad[k];
      total += weight(t, k);
    }
    mean = warp_sum(mean) / warp_sum(total);
    for (int64_t k = lane_number(); row(t, k) >= 0; k += kWarp) {
      score[k] = float(p.scale * weight(t, k) * (grad[k] - mean));
    }
  }

  /// Channel c of the gradients of step t's rows; returns that of its query, given the next one's.
  __device__ __forceinline__ float row_gradients(int64_t t, int64_t c, float g,
                                                 const float* score) const {
    const float q = gradient(t, 0)[c];
    float before = keep * g;
    for (int64_t k = 0; row(t, k) >= 0; ++k) {
      gradient(t, k)[c] = share * weight(t, k) * g + score[k] * q;
      before += score[k] * key(row(t, k), c);
    }
    return before;
  }
};

template <class E>
__global__ void __launch_bounds__(kBackwardThreads) select_backward(TapeSelectBackward p) {
  DYNAMIC_SHARED(double, weight_gradient);                                            // [merge]
  float* const score_gradient = reinterpret_cast<float*>(weight_gradient + p.merge);  // [merge]
  float* const g = score_gradient + p.merge;  // [width]: the gradient of the next step's query
  const SelectBackward<E> example(p, blockIdx.x);
  const int steps = p.length[blockIdx.x];
  for (int64_t c = threadIdx.x; c < p.width; c += kBackwardThreads) {
    example.recompute_query(c, steps);
    g[c] = 0;
  }
  for (int t = steps - 1; t >= 0; --t) {
    __syncthreads();
    example.weight_gradients(t, g, weight_gradient);
    __syncthreads();
    if (threadIdx.x < kWarp) example.score_gradients(t, weight_gradient, score_gradient);
    __syncthreads();
    for (int64_t c = threadIdx.x; c < p.width; c += kBackwardThreads) {
      g[c] = example.row_gradients(t, c, g[c], score_gradient);
    }
  }
  E* grad_query = static_cast<E*>(p.grad_query) + int64_t(blockIdx.x) * p.width;
  for (int64_t c = threadIdx.x; c < p.width; c += kBackwardThreads) grad_query[c] = narrow<E>(g[c]);
}

}  // namespace adatape::kernels
