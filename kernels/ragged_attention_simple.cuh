// Attention for every width up to 256, any strides and any alignment: a warp takes one row at a
// time and meets the other side's rows one after another. Slow, and short enough to be read as the
// definition. The other kernels need rows of 16-byte multiples and a width of at most 128.
#pragma once

#include "kernels/ragged_attention_gradient.cuh"

namespace adatape::kernels::attention {

/// One row of one head: channels lane, lane + 32, …
struct Row {
  float value[8];

  template <class T>
  static __device__ __forceinline__ Row load(const PackedHeads& tensor, int row, int head,
                                             int width) {
    Row x;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int c = lane_number() + 32 * i;
      x.value[i] = c < width ? widen(row_pointer<T>(tensor, row, head)[c]) : 0;
    }
    return x;
  }
  template <class T>
  __device__ __forceinline__ void store(const PackedHeads& tensor, int row, int head, int width,
                                        float factor) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int c = lane_number() + 32 * i;
      if (c < width) row_pointer<T>(tensor, row, head)[c] = narrow<T>(value[i] * factor);
    }
  }
  __device__ __forceinline__ void scale(float factor) {
#pragma unroll
    for (int i = 0; i < 8; ++i) value[i] *= factor;
  }
  __device__ __forceinline__ void add(float factor, const Row& other) {
#pragma unroll
    for (int i = 0; i < 8; ++i) value[i] = fmaf(factor, other.value[i], value[i]);
  }
};

__device__ __forceinline__ float dot(const Row& x, const Row& y) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) total = fmaf(x.value[i], y.value[i], total);
  return row_sum<32>(total);
}
__device__ __forceinline__ float simple_exponential(float x) { return fast_exp2(x * kLog2E); }

/// Calls f(sequence, i) for the rows i that the calling warp owns.
template <class F>
__device__ __forceinline__ void for_each_owned_row(const RaggedRows& rows, int64_t batch, F f) {
  const OwnedTile tile = find_tile(rows, int(batch), int(blockIdx.x));
  const int end = min(tile.first + kTileRows, Sequence(rows, tile.sequence).count);
  for (int i = tile.first + warp_index(); i < end; i += kWarps) f(tile.sequence, i);
}

/// Grid: slots(query rows, batch) x heads.
template <class T>
__global__ void __launch_bounds__(32 * kWarps) ragged_attention_simple(RaggedAttention p) {
  const int head = int(blockIdx.y), width = int(p.width);
  const float scale = float(p.scale);
  for_each_owned_row(p.queries, p.batch, [&](int b, int i) {
    const Sequence queries(p.queries, b), keys(p.keys, b);
    const Row query = Row::load<T>(p.query, queries.row(i), head, width);
    const int visible = keys_of(p.causal, queries.count, keys.count, i).end;
    Row out{};
    float top = -kInfinity, sum = 0;
    for (int j = 0; j < visible; ++j) {
      const float score = scale * dot(query, Row::load<T>(p.key, keys.row(j), head, width));
      const float highest = fmaxf(top, score), shift = highest == -kInfinity ? 0 : highest;
      const float kept = top == -kInfinity ? 0 : simple_exponential(top - shift);
      const float weight = simple_exponential(score - shift);
      top = highest;
      sum = sum * kept + weight;
      out.scale(kept);
      out.add(weight, Row::load<T>(p.value, keys.row(j), head, width));
    }
    out.store<T>(p.out, queries.row(i), head, width, visible ? 1 / sum : 1);
    const float lse = sum == 0 ? __builtin_nanf("") : top + logf(sum);
    if (lane_number() == 0) {
      static_cast<float*>(p.lse)[head * p.query_rows + queries.row(i)] = visible ? lse : -kInfinity;
    }
  });
}

/// dQ, and what the other kernel needs of each query: statistics [H, Tq].
/// Grid: slots(query rows, batch) x heads.
template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    ragged_attention_simple_query_gradient(RaggedAttentionBackward p, QueryStatistics* statistics) {
  const RaggedAttention& f = p.forward;
  const int head = int(blockIdx.y), width = int(f.width);
  const float scale = float(f.scale);
  for_each_owned_row(f.queries, f.batch, [&](int b, int i) {
    const Sequence queries(f.queries, b), keys(f.keys, b);
    const int row = queries.row(i);
    const Row query = Row::load<T>(f.query, row, head, width);
    const Row upstream = Row::load<T>(p.grad_out, row, head, width);
    const float delta = dot(upstream, Row::load<T>(f.out, row, head, width));
    const float lse = static_cast<const float*>(f.lse)[head * f.query_rows + row];
    const int visible = keys_of(f.causal, queries.count, keys.count, i).end;
    Row gradient{};
    float sum = 0;
    for (int j = 0; j < visible; ++j) {
      const Row key = Row::load<T>(f.key, keys.row(j), head, width);
      const float weight = simple_exponential(scale * dot(query, key) - lse);
      sum += weight;
      const float slope = dot(upstream, Row::load<T>(f.value, keys.row(j), head, width)) - delta;
      gradient.add(weight * slope, key);
    }
    const float inverse = visible ? 1 / sum : 0;
    gradient.store<T>(p.grad_query, row, head, width, scale * inverse);
    if (lane_number() == 0) statistics[head * f.query_rows + row] = {delta, inverse};
  });
}

/// dK and dV. Grid: slots(key rows, batch) x heads. Runs behind the other kernel.
template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    ragged_attention_simple_key_gradient(RaggedAttentionBackward p,
                                         const QueryStatistics* statistics) {
  const RaggedAttention& f = p.forward;
  const int head = int(blockIdx.y), width = int(f.width);
  const float scale = float(f.scale);
  for_each_owned_row(f.keys, f.batch, [&](int b, int j) {
    const Sequence queries(f.queries, b), keys(f.keys, b);
    const Row key = Row::load<T>(f.key, keys.row(j), head, width);
    const Row value = Row::load<T>(f.value, keys.row(j), head, width);
    const Range visible = queries_of(f.causal, queries.count, keys.count, j);
    Row key_gradient{}, value_gradient{};
    for (int i = visible.begin; i < visible.end; ++i) {
      const int64_t at = head * f.query_rows + queries.row(i);
      const Row query = Row::load<T>(f.query, queries.row(i), head, width);
      const Row upstream = Row::load<T>(p.grad_out, queries.row(i), head, width);
      const float lse = static_cast<const float*>(f.lse)[at];
      const float weight =
          simple_exponential(scale * dot(query, key) - lse) * statistics[at].inverse;
      value_gradient.add(weight, upstream);
      key_gradient.add(weight * (dot(upstream, value) - statistics[at].delta), query);
    }
    key_gradient.store<T>(p.grad_key, keys.row(j), head, width, scale);
    value_gradient.store<T>(p.grad_value, keys.row(j), head, width, 1);
  });
}

}  // namespace adatape::kernels::attention
