// Attention backward for short sequences: a group of warps has a whole sequence and head to itself,
// so that five products suffice and no sum leaves the group. Each warp goes over 16 queries for
// probabilities, score gradients and dQ, then, once all have written the former to shared memory,
// over 16 keys for dV and dK.
#pragma once

#include "kernels/ragged_attention_gradient.cuh"
#include "kernels/ragged_attention_group.cuh"

namespace adatape::kernels::attention {

/// Elements for 16 queries: probabilities and score gradients; before that, scratch and staging.
template <class Engine, int kGroup>
constexpr int kWeightRoom = 16 * (2 * kGroupRows<kGroup> > Engine::kWidth ? 2 * kGroupRows<kGroup>
                                                                          : Engine::kWidth);

/// Elements of shared memory for a group: four tiles, weights, and what is known of each query.
template <class Engine, int kGroup>
constexpr int kGroupRoom =
    kGroupRows<kGroup>*(4 * Engine::kWidth + kWeightRoom<Engine, kGroup> / 16 +
                        int(sizeof(float2) / sizeof(typename Engine::Element)));

/// Dynamic shared memory of the kernel.
template <class Engine, int kGroup>
constexpr size_t short_backward_shared_bytes() {
  return sizeof(typename Engine::Element) * kGroups<kGroup> * kGroupRoom<Engine, kGroup>;
}

/// Whether a block takes whole sequences of up to 64 rows: not where their tiles would leave room
/// for one block of four warps on a multiprocessor.
template <class Engine>
constexpr bool kWholeIn64 = Engine::kWidth * sizeof(typename Engine::Element) <= 256;

/// dQ of 16 queries; leaves probabilities and score gradients in `room`.
template <class Engine, int kGroup>
__device__ __forceinline__ void short_query_gradients(const RaggedAttentionBackward& p,
                                                      const Sequence& queries, const Sequence& keys,
                                                      int first, int head,
                                                      const typename Engine::Element* tiles,
                                                      const float2* rows,
                                                      typename Engine::Element* room) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, R = kGroupRows<kGroup>, kBlocks = R / 16;
  const T *query_tile = tiles, *key_tile = tiles + R * C, *value_tile = tiles + 2 * R * C;
  const T* upstream_tile = tiles + 3 * R * C;
  const auto visible = Visible<Engine>::keys(p.forward.causal, queries, keys, first);
  typename Engine::template Weights<kBlocks> probability, gradient;
  QueryGradient<Engine> own(QueryRows<Engine>(rows + first), p.forward.scale);
  const int blocks = blocks_of_16(keys.count);
  own.weigh(query_tile + first * C, upstream_tile + first * C, key_tile, value_tile, visible, 0,
            blocks, true, probability, gradient);
  Engine::accumulate(gradient, room, key_tile, blocks, own.sums);
  float inverses[Engine::kRows];
#pragma unroll
  for (int r = 0; r < Engine::kRows; ++r) inverses[r] = own.inverse(r);
  own.finish(p, queries, visible, first, head, inverses, room);
  for_each_weight<Engine, kBlocks>(kBlocks, [&](int r, int c) {
    if (Engine::kExact && visible.rows[r].end > 0) {
      probability.at(r, c) *= inverses[r];
      gradient.at(r, c) *= inverses[r];
    }
  });
  Engine::put(probability, room);
  Engine::put(gradient, room + 16 * R);
}

/// dK and dV of 16 keys. `staging`: 16 rows of this warp's own.
template <class Engine, int kGroup>
__device__ __forceinline__ void short_key_gradients(const RaggedAttentionBackward& p,
                                                    const Sequence& queries, const Sequence& keys,
                                                    int first, int head,
                                                    const typename Engine::Element* tiles,
                                                    const typename Engine::Element* weights,
                                                    typename Engine::Element* staging) {
  constexpr int C = Engine::kWidth, R = kGroupRows<kGroup>, kBlocks = R / 16;
  const int blocks = blocks_of_16(queries.count), width = int(p.forward.width);
  typename Engine::Sums sums;
  sums.clear();
  for (int b = 0; b < blocks; ++b) {
    Engine::template accumulate_transposed<kBlocks>(weights + b * kWeightRoom<Engine, kGroup>,
                                                    first, tiles + (3 * R + 16 * b) * C, sums);
  }
  Engine::store(sums, staging, p.grad_value, head, keys, first, width);
  sums.clear();
  for (int b = 0; b < blocks; ++b) {
    Engine::template accumulate_transposed<kBlocks>(
        weights + b * kWeightRoom<Engine, kGroup> + 16 * R, first, tiles + 16 * b * C, sums);
  }
  scale_all<Engine>(sums, float(p.forward.scale));
  Engine::store(sums, staging, p.grad_key, head, keys, first, width);
}

/// Registers that a thread needs.
template <class Engine, int kGroup>
constexpr int short_backward_registers() {
  if (Engine::kExact) return kGroup == 4 || Engine::kWidth > 32 ? 255 : 160;
  return (kGroup == 4 ? 112 : 84) + Engine::kWidth;
}

/// Grid: batch * heads / groups in a block, rounded up. Leaves sequences of at most `skipped`
/// queries and keys, and those that are too long, to other kernels.
template <class Engine, int kGroup>
__global__ void __launch_bounds__(kGroupBlock<kGroup>,
                                  blocks_for<kGroup>(short_backward_registers<Engine, kGroup>()))
    ragged_attention_short_backward(RaggedAttentionBackward p, int skipped) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, R = kGroupRows<kGroup>;
  DYNAMIC_SHARED(T, shared);
  const RaggedAttention& f = p.forward;
  const GroupThread<kGroup> self;
  const unsigned heads = unsigned(f.heads);
  if (self.item >= unsigned(f.batch) * heads) return;
  const int b = int(self.item / heads), head = int(self.item % heads), width = int(f.width);
  const Sequence queries(f.queries, b), keys(f.keys, b);
  if (queries.count > R || keys.count > R) return;
  if (queries.count <= skipped && keys.count <= skipped) return;

  T* const tiles = shared + self.group * kGroupRoom<Engine, kGroup>;
  T* const weights = tiles + 4 * R * C;
  float2* const rows = reinterpret_cast<float2*>(weights + R / 16 * kWeightRoom<Engine, kGroup>);
  const auto load = [&](int tile, const PackedHeads& source, const Sequence& rows) {
    const int count = 16 * blocks_of_16(rows.count);
    load_rows<T, C, 32 * kGroup>(tiles + tile * R * C, source, head, rows, 0, count, width,
                                 self.thread);
  };
  load(0, f.query, queries);
  load(1, f.key, keys);
  load(2, f.value, keys);
  load(3, p.grad_out, queries);
  cp_async_commit();
  for (int first = 16 * self.warp; first < queries.count; first += 16 * kGroup) {
    QueryRows<Engine>(p, queries, first, head).put(rows + first);
  }
  cp_async_wait<0>();
  synchronise_group<kGroup>();
  for (int tile = self.warp; 16 * tile < queries.count; tile += kGroup) {
    short_query_gradients<Engine, kGroup>(p, queries, keys, 16 * tile, head, tiles, rows,
                                          weights + tile * kWeightRoom<Engine, kGroup>);
  }
  synchronise_group<kGroup>();
  // Values have been used up: each warp may stage its keys' gradients there.
  for (int tile = self.warp; 16 * tile < keys.count; tile += kGroup) {
    short_key_gradients<Engine, kGroup>(p, queries, keys, 16 * tile, head, tiles, weights,
                                        tiles + (2 * R + 16 * tile) * C);
  }
}

}  // namespace adatape::kernels::attention
