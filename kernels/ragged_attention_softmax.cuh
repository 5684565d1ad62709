// The softmax of attention, for both engines: scores become weights exp(scale * score - shift)
// while their rows' maxima and sums are kept, so that keys can come in several tiles.
#pragma once

#include "kernels/ragged_attention_tiles.cuh"

namespace adatape::kernels::attention {

/// Scores times unit() are exponents of 2 for 16-bit elements (one multiply-add fewer per score),
/// but natural ones for float: there, the rounding of scale * log2(e) would be the largest error.
template <class Engine>
__device__ __forceinline__ float unit(double scale) {
  return Engine::kExact ? float(scale) : float(scale * 1.4426950408889634);
}
template <class Engine>
__device__ __forceinline__ float exponential(float score, float unit, float shift) {
  const float x = fmaf(score, unit, -shift);
  return fast_exp2(Engine::kExact ? x * kLog2E : x);
}
/// The shift that makes exponential() a probability, from a natural-log lse.
template <class Engine>
__device__ __forceinline__ float shift_of(float lse) {
  return Engine::kExact ? lse : lse * kLog2E;
}

/// Stream rows [begin, end).
struct Range {
  int begin, end;
};

/// Keys that query i of a sequence sees (none if there is no such query), and queries that key j is
/// seen by.
__device__ __forceinline__ Range keys_of(bool causal, int queries, int keys, int i) {
  if (i >= queries) return {0, 0};
  return {0, causal ? max(0, i + 1 + keys - queries) : keys};
}
__device__ __forceinline__ Range queries_of(bool causal, int queries, int keys, int j) {
  return {causal ? max(0, j + queries - keys) : 0, queries};
}

/// What a warp's 16 owned rows see of the stream: each its own range; `all` is seen by every row
/// that exists, `any` by at least one.
template <class Engine>
struct Visible {
  Range rows[Engine::kRows], all, any;

  static __device__ __forceinline__ Visible keys(bool causal, const Sequence& q, const Sequence& k,
                                                 int first) {
    Visible visible;
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) {
      visible.rows[r] = keys_of(causal, q.count, k.count, first + Engine::row(r));
    }
    visible.all = keys_of(causal, q.count, k.count, first);
    visible.any = keys_of(causal, q.count, k.count, min(first + 15, q.count - 1));
    if (first >= q.count) visible.all.end = visible.any.end = 0;
    return visible;
  }
  static __device__ __forceinline__ Visible queries(bool causal, const Sequence& q,
                                                    const Sequence& k, int first) {
    Visible visible;
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) {
      visible.rows[r] = queries_of(causal, q.count, k.count, first + Engine::row(r));
    }
    visible.all = queries_of(causal, q.count, k.count, min(first + 15, k.count - 1));
    visible.any = queries_of(causal, q.count, k.count, first);
    if (first >= k.count) visible.all.end = visible.any.end = 0;
    return visible;
  }
  /// Whether every row sees the whole tile of 16 * blocks stream rows from `start` on.
  __device__ __forceinline__ bool whole(int start, int blocks) const {
    return all.begin <= start && start + 16 * blocks <= all.end;
  }
  /// Blocks of the tile, counted from its start, that hold what any row sees; 0: none.
  __device__ __forceinline__ int blocks(int start, int most) const {
    return start + 16 * most > any.begin ? min(most, (any.end - start + 15) / 16) : 0;
  }
};

/// Calls f(c) for the columns of which a lane holds values, in the first `blocks` blocks.
template <class Engine, int kBlocks, class F>
__device__ __forceinline__ void for_each_column(int blocks, F f) {
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    if (b >= blocks) break;
#pragma unroll
    for (int c = b * Engine::kPerBlock; c < (b + 1) * Engine::kPerBlock; ++c) f(c);
  }
}
/// Calls f(r, c) for these values.
template <class Engine, int kBlocks, class F>
__device__ __forceinline__ void for_each_weight(int blocks, F f) {
  for_each_column<Engine, kBlocks>(blocks, [&](int c) {
#pragma unroll
    for (int r = 0; r < Engine::kRows; ++r) f(r, c);
  });
}

/// Sets the weights of what their rows do not see; the stream's tile starts at row `first`.
template <class Engine, int kBlocks>
__device__ __forceinline__ void set_unseen(typename Engine::template Weights<kBlocks>& weights,
                                           const Visible<Engine>& visible, int first, int blocks,
                                           float value) {
  for_each_weight<Engine, kBlocks>(blocks, [&](int r, int c) {
    const int column = first + Engine::column(c);
    if (column < visible.rows[r].begin || column >= visible.rows[r].end) weights.at(r, c) = value;
  });
}

/// 16 queries of one warp: their weighted values so far.
template <class Engine>
struct Softmax {
  using T = typename Engine::Element;
  static constexpr int kRows = Engine::kRows;
  typename Engine::Sums out;
  float top[kRows], sum[kRows];  // sum: of this lane's columns only
  float step;                    // unit() without its sign
  bool negative;

  __device__ __forceinline__ explicit Softmax(double scale)
      : step(fabsf(unit<Engine>(scale))), negative(scale < 0) {
    out.clear();
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      top[r] = -kInfinity;
      sum[r] = 0;
    }
  }

  /// Takes in a tile of keys and values that starts at key `first`.
  template <int kBlocks>
  __device__ __forceinline__ void add(const typename Engine::Owned& queries, const T* keys,
                                      const T* values, T* scratch, const Visible<Engine>& visible,
                                      int first) {
    const int blocks = visible.blocks(first, kBlocks);
    if (visible.whole(first, kBlocks)) {  // compiled for itself, without masks and branches
      add_blocks<kBlocks>(queries, keys, values, scratch, visible, first, kBlocks, false);
    } else if (blocks > 0) {
      add_blocks<kBlocks>(queries, keys, values, scratch, visible, first, blocks, true);
    }
  }

  /// Divides by the sums; writes out and lse of the queries [first, first + 16).
  __device__ __forceinline__ void finish(const RaggedAttention& p, const Sequence& queries,
                                         const Visible<Engine>& visible, int first, int head,
                                         T* staging) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float total = row_sum<Engine::kLanesPerRow>(sum[r]);
      const bool seen = visible.rows[r].end > 0;
      out.scale_row(r, 1 / total);
      if (!seen) out.clear_row(r);
      const int i = first + Engine::row(r);
      if (lane_number() % Engine::kLanesPerRow == 0 && i < queries.count) {
        // All scores -inf: the probabilities are 0 / 0, and lse says so, too.
        const float shift = Engine::kExact ? top[r] * step : top[r] * step * kLn2;
        const float lse = total == 0 ? __builtin_nanf("") : shift + logf(total);
        static_cast<float*>(p.lse)[head * p.query_rows + queries.row(i)] = seen ? lse : -kInfinity;
      }
    }
    Engine::store(out, staging, p.out, head, queries, first, int(p.width));
  }

 private:
  template <int kBlocks>
  __device__ __forceinline__ void add_blocks(const typename Engine::Owned& queries, const T* keys,
                                             const T* values, T* scratch,
                                             const Visible<Engine>& visible, int first, int blocks,
                                             bool masked) {
    typename Engine::template Weights<kBlocks> weights;
    Engine::multiply(queries, keys, blocks, weights);
    if (negative) {
      for_each_weight<Engine, kBlocks>(blocks,
                                       [&](int r, int c) { weights.at(r, c) = -weights.at(r, c); });
    }
    // Masked before the maximum, and again behind the exponential: with scale 0 or an infinite
    // maximum, -inf does not become 0 by itself.
    if (masked) set_unseen<Engine, kBlocks>(weights, visible, first, blocks, -kInfinity);
    exponentials<kBlocks>(weights, blocks);
    if (masked) set_unseen<Engine, kBlocks>(weights, visible, first, blocks, 0);
    for_each_weight<Engine, kBlocks>(blocks, [&](int r, int c) { sum[r] += weights.at(r, c); });
    Engine::accumulate(weights, scratch, values, blocks, out);
  }

  /// Scores become weights; what was summed before is rescaled to the new maximum.
  template <int kBlocks>
  __device__ __forceinline__ void exponentials(typename Engine::template Weights<kBlocks>& weights,
                                               int blocks) {
    float highest[kRows], shift[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) highest[r] = top[r];
    for_each_weight<Engine, kBlocks>(
        blocks, [&](int r, int c) { highest[r] = fmaxf(highest[r], weights.at(r, c)); });
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      highest[r] = row_max<Engine::kLanesPerRow>(highest[r]);
      shift[r] = highest[r] == -kInfinity ? 0 : highest[r] * step;
      const float kept = top[r] == -kInfinity ? 0 : exponential<Engine>(top[r], step, shift[r]);
      top[r] = highest[r];
      sum[r] *= kept;
      out.scale_row(r, kept);
    }
    for_each_weight<Engine, kBlocks>(blocks, [&](int r, int c) {
      weights.at(r, c) = exponential<Engine>(weights.at(r, c), step, shift[r]);
    });
  }
};

}  // namespace adatape::kernels::attention
