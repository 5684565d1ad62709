// What the backward kernels share (formulas: docs/ops.md, "ragged_attention"): probabilities and
// score gradients of a tile, seen from the queries that a warp owns.
#pragma once

#include "kernels/ragged_attention_softmax.cuh"

namespace adatape::kernels::attention {

/// What the gradient of a key needs to know of a query: Delta, and 1 / (sum of its probabilities),
/// which only float has: of an lse of 300, float keeps five decimals, and the sum takes that out.
struct QueryStatistics {
  float delta, inverse;
};

/// sum_c dO_c O_c of the owned rows that this lane shares.
template <class Engine>
__device__ __forceinline__ float row_delta(const RaggedAttentionBackward& p,
                                           const Sequence& queries, int i, int head) {
  using T = typename Engine::Element;
  constexpr int kLanes = Engine::kLanesPerRow, kPer = kPer16Bytes<T>;
  const bool exists = i < queries.count;
  const int row = exists ? queries.row(i) : 0;
  const T* upstream = row_pointer<T>(p.grad_out, row, head);
  const T* out = row_pointer<T>(p.forward.out, row, head);
  float total = 0;
#pragma unroll
  for (int first = 0; first < Engine::kWidth; first += kLanes * kPer) {
    const int c = first + lane_number() % kLanes * kPer;
    float x[kPer], y[kPer];
    unpack<T>(load_global_128(upstream + c, exists && c < p.forward.width), x);
    unpack<T>(load_global_128(out + c, exists && c < p.forward.width), y);
#pragma unroll
    for (int k = 0; k < kPer; ++k) total = fmaf(x[k], y[k], total);
  }
  return row_sum<kLanes>(total);
}

/// What the probabilities and score gradients of 16 queries need, for the rows that a lane shares.
template <class Engine>
struct QueryRows {
  float shift[Engine::kRows], delta[Engine::kRows];

  /// From global memory.
  __device__ __forceinline__ QueryRows(const RaggedAttentionBackward& p, const Sequence& queries,
                                       int first, int head) {
    const float* lse = static_cast<const float*>(p.forward.lse) + head * p.forward.query_rows;
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) {
      const int i = first + Engine::row(r);
      shift[r] = i < queries.count ? shift_of<Engine>(lse[queries.row(i)]) : 0;
      delta[r] = row_delta<Engine>(p, queries, i, head);
    }
  }
  /// From and to shared memory: {shift, delta} of each of the 16.
  __device__ __forceinline__ explicit QueryRows(const float2* rows) {
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) {
      shift[r] = rows[Engine::row(r)].x;
      delta[r] = rows[Engine::row(r)].y;
    }
  }
  __device__ __forceinline__ void put(float2* rows) const {
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) {
      if (lane_number() % Engine::kLanesPerRow == 0) {
        rows[Engine::row(r)] = make_float2(shift[r], delta[r]);
      }
    }
  }
};

/// 16 queries of one warp in the backward pass.
template <class Engine>
struct QueryGradient {
  using T = typename Engine::Element;
  static constexpr int kRows = Engine::kRows;
  const QueryRows<Engine> rows;
  typename Engine::Sums sums;  // gradient of the queries, before scaling
  float sum[kRows];            // of probabilities, this lane's columns only
  const float step;

  __device__ __forceinline__ QueryGradient(const QueryRows<Engine>& rows, double scale)
      : rows(rows), step(unit<Engine>(scale)) {
    sums.clear();
#pragma unroll
    for (int r = 0; r < kRows; ++r) sum[r] = 0;
  }

  /// Takes in a tile of keys that starts at key `first`; `upstream` are the owned rows of grad_out.
  template <int kBlocks>
  __device__ __forceinline__ void add(const T* queries, const T* upstream, const T* keys,
                                      const T* values, T* scratch, const Visible<Engine>& visible,
                                      int first) {
    typename Engine::template Weights<kBlocks> probability, gradient;
    const int blocks = visible.blocks(first, kBlocks);
    if (visible.whole(first, kBlocks)) {
      weigh(queries, upstream, keys, values, visible, first, kBlocks, false, probability, gradient);
      Engine::accumulate(gradient, scratch, keys, kBlocks, sums);
    } else if (blocks > 0) {
      weigh(queries, upstream, keys, values, visible, first, blocks, true, probability, gradient);
      Engine::accumulate(gradient, scratch, keys, blocks, sums);
    }
  }

  /// Probabilities, not yet divided by their sum, and score gradients of a tile of keys.
  template <int kBlocks>
  __device__ __forceinline__ void weigh(const T* queries, const T* upstream, const T* keys,
                                        const T* values, const Visible<Engine>& visible, int first,
                                        int blocks, bool masked,
                                        typename Engine::template Weights<kBlocks>& probability,
                                        typename Engine::template Weights<kBlocks>& gradient) {
    Engine::multiply(typename Engine::Owned(queries), keys, blocks, probability);
    Engine::multiply(typename Engine::Owned(upstream), values, blocks, gradient);
    for_each_weight<Engine, kBlocks>(blocks, [&](int r, int c) {
      probability.at(r, c) = exponential<Engine>(probability.at(r, c), step, rows.shift[r]);
    });
    if (masked) set_unseen<Engine, kBlocks>(probability, visible, first, blocks, 0);
    for_each_weight<Engine, kBlocks>(blocks, [&](int r, int c) {
      if (Engine::kExact) sum[r] += probability.at(r, c);
      gradient.at(r, c) = probability.at(r, c) * (gradient.at(r, c) - rows.delta[r]);
    });
    // Not 0 by itself if the other factor is NaN.
    if (masked) set_unseen<Engine, kBlocks>(gradient, visible, first, blocks, 0);
  }

  /// 1 / (sum of probabilities) of row r, for float.
  __device__ __forceinline__ float inverse(int r) const {
    return Engine::kExact ? 1 / row_sum<Engine::kLanesPerRow>(sum[r]) : 1;
  }

  /// Writes the gradients of the queries [first, first + 16).
  __device__ __forceinline__ void finish(const RaggedAttentionBackward& p, const Sequence& queries,
                                         const Visible<Engine>& visible, int first, int head,
                                         const float (&inverses)[kRows], T* staging) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      sums.scale_row(r, inverses[r] * float(p.forward.scale));
      if (visible.rows[r].end <= 0) sums.clear_row(r);
    }
    Engine::store(sums, staging, p.grad_query, head, queries, first, int(p.forward.width));
  }
};

template <class Engine>
__device__ __forceinline__ void scale_all(typename Engine::Sums& sums, float factor) {
#pragma unroll
  for (int r = 0; r < Engine::kRows; ++r) sums.scale_row(r, factor);
}

}  // namespace adatape::kernels::attention
