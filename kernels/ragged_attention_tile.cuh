// Attention forward for sequences of any length: a block owns 64 queries of one sequence and head
// and streams the keys and values past them, the next tile being copied while this one is used.
#pragma once

#include "kernels/ragged_attention_softmax.cuh"

namespace adatape::kernels::attention {

/// Keys of a stage: 64 for 16-bit elements, 32 for float.
template <class Engine>
constexpr int kStageKeys = Engine::kExact ? 32 : 64;

/// Blocks that shall fit a multiprocessor: as many as leave each thread the registers that it
/// needs.
template <class Engine>
constexpr int kTileBlocks = Engine::kExact || Engine::kWidth > 64 ? 2
                            : Engine::kWidth > 32                 ? 3
                                                                  : 4;

/// Dynamic shared memory of the kernel.
template <class Engine>
constexpr size_t tile_shared_bytes() {
  constexpr int kStage = kStageKeys<Engine>;
  return sizeof(typename Engine::Element) *
         (Engine::kWidth * (kTileRows + 4 * kStage) + kWarps * Engine::kScratch * kStage);
}

/// Grid: slots(query rows, batch) x heads. Sequences with at most `skipped` queries and keys are
/// another kernel's.
template <class Engine>
__global__ void __launch_bounds__(32 * kWarps, kTileBlocks<Engine>)
    ragged_attention_tile(RaggedAttention p, int skipped) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, kStage = kStageKeys<Engine>, kThreads = 32 * kWarps;
  DYNAMIC_SHARED(T, shared);
  T* const stages = shared + kTileRows * C;
  T* const scratch = stages + 4 * kStage * C + warp_index() * Engine::kScratch * kStage;
  const OwnedTile tile = find_tile(p.queries, int(p.batch), int(blockIdx.x));
  const int head = int(blockIdx.y), width = int(p.width);
  const Sequence queries(p.queries, tile.sequence), keys(p.keys, tile.sequence);
  if (tile.first >= queries.count) return;
  if (queries.count <= skipped && keys.count <= skipped) return;

  const int first = tile.first + 16 * warp_index();  // of this warp
  const int last = min(tile.first + kTileRows, queries.count) - 1;
  const int steps = (keys_of(p.causal, queries.count, keys.count, last).end + kStage - 1) / kStage;
  T* const own = shared + 16 * warp_index() * C;
  const auto visible = Visible<Engine>::keys(p.causal, queries, keys, first);
  Softmax<Engine> softmax(p.scale);
  if (steps > 0) {
    load_rows<T, C, kThreads>(shared, p.query, head, queries, tile.first, kTileRows, width,
                              int(threadIdx.x));
    cp_async_commit();
    load_stage<T, C, kStage>(stages, 0, p.key, p.value, head, keys, width);
    cp_async_wait<1>();
    __syncthreads();
    const typename Engine::Owned owned(own);
    for (int t = 0; t < steps; ++t) {
      cp_async_wait<0>();
      __syncthreads();  // all copies of step t have landed, and nobody reads step t - 1 any more
      if (t + 1 < steps) load_stage<T, C, kStage>(stages, t + 1, p.key, p.value, head, keys, width);
      const T* stage = stages + t % 2 * (2 * kStage * C);
      softmax.template add<kStage / 16>(owned, stage, stage + kStage * C, scratch, visible,
                                        t * kStage);
    }
  }
  if (first < queries.count) softmax.finish(p, queries, visible, first, head, own);
}

}  // namespace adatape::kernels::attention
