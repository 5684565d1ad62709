// Attention backward for sequences of any length, in two kernels with the forward's shape: one owns
// queries and streams keys (dQ), one owns keys and streams queries (dK, dV). That repeats two of
// five products, but each sum stays in the registers of one warp: no atomics, no workspace for
// partial sums, and as many blocks as the forward has.
#pragma once

#include "kernels/ragged_attention_gradient.cuh"

namespace adatape::kernels::attention {

/// Rows of a stage: fewer where sums (of keys: two) and two tiles of weights share the registers.
template <class Engine>
constexpr int kStageKeysBackward = Engine::kExact || Engine::kWidth > 64 ? 32 : 64;
template <class Engine>
constexpr int kStageQueries =
    !Engine::kExact && Engine::kWidth > 96 ? 16 : kStageKeysBackward<Engine>;

/// Dynamic shared memory of the two kernels.
template <class Engine, int kStage>
constexpr size_t stage_shared_bytes() {
  return sizeof(typename Engine::Element) *
         (Engine::kWidth * (2 * kTileRows + 4 * kStage) + kWarps * Engine::kScratch * kStage);
}
template <class Engine>
constexpr size_t query_gradient_shared_bytes() {
  return stage_shared_bytes<Engine, kStageKeysBackward<Engine>>();
}
template <class Engine>
constexpr size_t key_gradient_shared_bytes() {
  return stage_shared_bytes<Engine, kStageQueries<Engine>>() +
         2 * kStageQueries<Engine> * sizeof(float4);
}

/// dQ, and what the other kernel needs of each query: statistics [H, Tq].
/// Grid: slots(query rows, batch) x heads. Sequences with at most `skipped` queries and keys are
/// another kernel's.
template <class Engine>
__global__ void __launch_bounds__(32 * kWarps, 2)
    ragged_attention_query_gradient(RaggedAttentionBackward p, QueryStatistics* statistics,
                                    int skipped) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, kStage = kStageKeysBackward<Engine>, kThreads = 32 * kWarps;
  constexpr int kBlocks = kStage / 16;
  DYNAMIC_SHARED(T, shared);
  T *const upstream_tile = shared + kTileRows * C, *const stages = upstream_tile + kTileRows * C;
  T* const scratch = stages + 4 * kStage * C + warp_index() * Engine::kScratch * kStage;
  const RaggedAttention& f = p.forward;
  const OwnedTile tile = find_tile(f.queries, int(f.batch), int(blockIdx.x));
  const int head = int(blockIdx.y), width = int(f.width), thread = int(threadIdx.x);
  const Sequence queries(f.queries, tile.sequence), keys(f.keys, tile.sequence);
  if (tile.first >= queries.count) return;
  if (queries.count <= skipped && keys.count <= skipped) return;

  const int first = tile.first + 16 * warp_index();  // of this warp
  const int last = min(tile.first + kTileRows, queries.count) - 1;
  const int steps = (keys_of(f.causal, queries.count, keys.count, last).end + kStage - 1) / kStage;
  T* const own = shared + 16 * warp_index() * C;
  T* const upstream = upstream_tile + 16 * warp_index() * C;
  if (steps > 0) {
    load_rows<T, C, kThreads>(shared, f.query, head, queries, tile.first, kTileRows, width, thread);
    load_rows<T, C, kThreads>(upstream_tile, p.grad_out, head, queries, tile.first, kTileRows,
                              width, thread);
    load_stage<T, C, kStage>(stages, 0, f.key, f.value, head, keys, width);
  }
  const auto visible = Visible<Engine>::keys(f.causal, queries, keys, first);
  QueryGradient<Engine> gradient(QueryRows<Engine>(p, queries, first, head), f.scale);
  for (int t = 0; t < steps; ++t) {
    cp_async_wait<0>();
    __syncthreads();
    if (t + 1 < steps) load_stage<T, C, kStage>(stages, t + 1, f.key, f.value, head, keys, width);
    const T* stage = stages + t % 2 * (2 * kStage * C);
    gradient.template add<kBlocks>(own, upstream, stage, stage + kStage * C, scratch, visible,
                                   t * kStage);
  }
  if (first >= queries.count) return;
  float inverses[Engine::kRows];
#pragma unroll
  for (int r = 0; r < Engine::kRows; ++r) {
    inverses[r] = gradient.inverse(r);
    const int i = first + Engine::row(r);
    if (lane_number() % Engine::kLanesPerRow == 0 && i < queries.count) {
      statistics[head * f.query_rows + queries.row(i)] = {gradient.rows.delta[r], inverses[r]};
    }
  }
  gradient.finish(p, queries, visible, first, head, inverses, own);
}

/// 16 keys of one warp.
template <class Engine>
struct KeyGradient {
  using T = typename Engine::Element;
  typename Engine::Sums key, value;  // gradients, that of the key before scaling
  float step;

  __device__ __forceinline__ explicit KeyGradient(double scale) : step(unit<Engine>(scale)) {
    key.clear();
    value.clear();
  }

  /// Takes in a tile of queries; statistics: {shift, delta, inverse} of each of its rows.
  template <int kBlocks>
  __device__ __forceinline__ void add(const T* keys, const T* values, const T* queries,
                                      const T* upstream, const float4* statistics, T* scratch,
                                      const Visible<Engine>& visible, int first) {
    const int blocks = visible.blocks(first, kBlocks);
    if (visible.whole(first, kBlocks)) {
      add_blocks<kBlocks>(keys, values, queries, upstream, statistics, scratch, visible, first,
                          kBlocks, false);
    } else if (blocks > 0) {
      add_blocks<kBlocks>(keys, values, queries, upstream, statistics, scratch, visible, first,
                          blocks, true);
    }
  }

 private:
  template <int kBlocks>
  __device__ __forceinline__ void add_blocks(const T* keys, const T* values, const T* queries,
                                             const T* upstream, const float4* statistics,
                                             T* scratch, const Visible<Engine>& visible, int first,
                                             int blocks, bool masked) {
    typename Engine::template Weights<kBlocks> probability, gradient;
    Engine::multiply(typename Engine::Owned(keys), queries, blocks, probability);
    Engine::multiply(typename Engine::Owned(values), upstream, blocks, gradient);
    for_each_column<Engine, kBlocks>(blocks, [&](int c) {
      const float4 query = statistics[Engine::column(c)];
#pragma unroll
      for (int r = 0; r < Engine::kRows; ++r) {
        const float p = exponential<Engine>(probability.at(r, c), step, query.x);
        const float ds = p * (gradient.at(r, c) - query.y);
        probability.at(r, c) = Engine::kExact ? p * query.z : p;
        gradient.at(r, c) = Engine::kExact ? ds * query.z : ds;
      }
    });
    if (masked) {
      set_unseen<Engine, kBlocks>(probability, visible, first, blocks, 0);
      set_unseen<Engine, kBlocks>(gradient, visible, first, blocks, 0);
    }
    Engine::accumulate(probability, scratch, upstream, blocks, value);
    Engine::accumulate(gradient, scratch, queries, blocks, key);
  }
};

/// {shift, delta, inverse} of the query that this thread fetches for step t.
template <class Engine>
__device__ __forceinline__ float4 fetch_query(const RaggedAttentionBackward& p,
                                              const QueryStatistics* statistics,
                                              const Sequence& queries, int head, int t) {
  const int thread = int(threadIdx.x), i = t * kStageQueries<Engine> + thread;
  if (thread >= kStageQueries<Engine> || i >= queries.count) return make_float4(0, 0, 0, 0);
  const int64_t at = head * p.forward.query_rows + queries.row(i);
  const float lse = static_cast<const float*>(p.forward.lse)[at];
  return make_float4(shift_of<Engine>(lse), statistics[at].delta, statistics[at].inverse, 0);
}

/// dK and dV. Grid: slots(key rows, batch) x heads. Runs behind the other kernel.
template <class Engine>
__global__ void __launch_bounds__(32 * kWarps, 2)
    ragged_attention_key_gradient(RaggedAttentionBackward p, const QueryStatistics* statistics,
                                  int skipped) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, kStage = kStageQueries<Engine>, kThreads = 32 * kWarps;
  DYNAMIC_SHARED(T, shared);
  T *const value_tile = shared + kTileRows * C, *const stages = value_tile + kTileRows * C;
  T* const scratches = stages + 4 * kStage * C;
  T* const scratch = scratches + warp_index() * Engine::kScratch * kStage;
  float4* const query_stages =
      reinterpret_cast<float4*>(scratches + kWarps * Engine::kScratch * kStage);
  const RaggedAttention& f = p.forward;
  const OwnedTile tile = find_tile(f.keys, int(f.batch), int(blockIdx.x));
  const int head = int(blockIdx.y), width = int(f.width), thread = int(threadIdx.x);
  const Sequence queries(f.queries, tile.sequence), keys(f.keys, tile.sequence);
  if (tile.first >= keys.count) return;
  if (queries.count <= skipped && keys.count <= skipped) return;

  const int first = tile.first + 16 * warp_index();  // of this warp
  const int begin = queries_of(f.causal, queries.count, keys.count, tile.first).begin / kStage;
  const int steps = (queries.count + kStage - 1) / kStage;
  T* const own_keys = shared + 16 * warp_index() * C;
  T* const own_values = value_tile + 16 * warp_index() * C;
  const auto put_query = [&](int t, float4 query) {
    if (thread < kStage) query_stages[t % 2 * kStage + thread] = query;
  };
  if (begin < steps) {
    load_rows<T, C, kThreads>(shared, f.key, head, keys, tile.first, kTileRows, width, thread);
    load_rows<T, C, kThreads>(value_tile, f.value, head, keys, tile.first, kTileRows, width,
                              thread);
    load_stage<T, C, kStage>(stages, begin, f.query, p.grad_out, head, queries, width);
    put_query(begin, fetch_query<Engine>(p, statistics, queries, head, begin));
  }
  const auto visible = Visible<Engine>::queries(f.causal, queries, keys, first);
  KeyGradient<Engine> gradient(f.scale);
  for (int t = begin; t < steps; ++t) {
    cp_async_wait<0>();
    __syncthreads();
    if (t + 1 < steps) {
      load_stage<T, C, kStage>(stages, t + 1, f.query, p.grad_out, head, queries, width);
    }
    // Put away behind the products, so that they need not wait for it.
    const float4 next = fetch_query<Engine>(p, statistics, queries, head, t + 1);
    const T* stage = stages + t % 2 * (2 * kStage * C);
    gradient.template add<kStage / 16>(own_keys, own_values, stage, stage + kStage * C,
                                       query_stages + t % 2 * kStage, scratch, visible, t * kStage);
    put_query(t + 1, next);
  }
  if (first >= keys.count) return;
  Engine::store(gradient.value, own_values, p.grad_value, head, keys, first, width);
  scale_all<Engine>(gradient.key, float(f.scale));
  Engine::store(gradient.key, own_keys, p.grad_key, head, keys, first, width);
}

}  // namespace adatape::kernels::attention
