// Attention forward for sequences of at most 32 queries and keys.
#pragma once

#include "kernels/ragged_attention_group.cuh"
#include "kernels/ragged_attention_softmax.cuh"

namespace adatape::kernels::attention {

/// Elements of shared memory for a group.
template <class Engine>
constexpr int kShortRoom = kGroupRows<kShortGroup<Engine>>*(3 * Engine::kWidth +
                                                            kShortGroup<Engine> * Engine::kScratch);

/// Dynamic shared memory of the kernel.
template <class Engine>
constexpr size_t short_shared_bytes() {
  return sizeof(typename Engine::Element) * kGroups<kShortGroup<Engine>> * kShortRoom<Engine>;
}

/// Grid: batch * heads / groups in a block, rounded up. Leaves longer sequences to another kernel.
template <class Engine>
__global__ void __launch_bounds__(kGroupBlock<kShortGroup<Engine>>)
    ragged_attention_short(RaggedAttention p) {
  using T = typename Engine::Element;
  constexpr int C = Engine::kWidth, kGroup = kShortGroup<Engine>, R = kGroupRows<kGroup>;
  DYNAMIC_SHARED(T, shared);
  const GroupThread<kGroup> self;
  const unsigned heads = unsigned(p.heads);
  if (self.item >= unsigned(p.batch) * heads) return;
  const int b = int(self.item / heads), head = int(self.item % heads), width = int(p.width);
  const Sequence queries(p.queries, b), keys(p.keys, b);
  if (queries.count > R || keys.count > R) return;

  T* const query_tile = shared + self.group * kShortRoom<Engine>;
  T *const key_tile = query_tile + R * C, *const value_tile = key_tile + R * C;
  T* const scratch = value_tile + R * C + self.warp * R * Engine::kScratch;
  const auto load = [&](T* tile, const PackedHeads& source, const Sequence& rows) {
    const int count = 16 * blocks_of_16(rows.count);
    load_rows<T, C, 32 * kGroup>(tile, source, head, rows, 0, count, width, self.thread);
  };
  load(query_tile, p.query, queries);
  load(key_tile, p.key, keys);
  load(value_tile, p.value, keys);
  cp_async_commit();
  cp_async_wait<0>();
  synchronise_group<kGroup>();
  for (int first = 16 * self.warp; first < queries.count; first += 16 * kGroup) {
    const auto visible = Visible<Engine>::keys(p.causal, queries, keys, first);
    Softmax<Engine> softmax(p.scale);
    const typename Engine::Owned own(query_tile + first * C);
    softmax.template add<R / 16>(own, key_tile, value_tile, scratch, visible, 0);
    softmax.finish(p, queries, visible, first, head, query_tile + first * C);
  }
}

}  // namespace adatape::kernels::attention
