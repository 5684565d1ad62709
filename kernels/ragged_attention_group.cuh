// Short sequences: a group of warps has a sequence and head to itself. The sequence starts at row 0
// of the group's tiles: no tile holds rows of two, and neither NaN nor the order of a sum can pass
// from one to another. That costs no more than packing several into 16 rows, where each row meets
// the keys of all (32 products for each of 7 queries, against 16 x 16 / 7 = 37), unless lengths are
// below 6.
#pragma once

#include "kernels/ragged_attention_tiles.cuh"

namespace adatape::kernels::attention {

/// Warps that share a sequence of at most 32 queries and keys: where rows are narrow, one, which
/// never waits for others; else two, because shared memory then limits how many warps there are.
template <class Engine>
constexpr int kShortGroup = Engine::kWidth * sizeof(typename Engine::Element) <= 64 ? 1 : 2;

/// Most queries and keys of a group's sequence.
template <int kGroup>
constexpr int kGroupRows = kGroup == 4 ? 64 : 32;

/// Groups of one warp share a block; larger ones are a block, so that its barrier is theirs.
template <int kGroup>
constexpr int kGroups = kGroup == 1 ? 4 : 1;
template <int kGroup>
constexpr int kGroupBlock = 32 * kGroup* kGroups<kGroup>;

/// Blocks that shall fit a multiprocessor if a thread takes `registers` of its 64 k.
template <int kGroup>
constexpr int blocks_for(int registers) {
  return 65536 / (registers * kGroupBlock<kGroup>);
}

template <int kGroup>
__device__ __forceinline__ void synchronise_group() {
  if constexpr (kGroup == 1) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

/// The calling thread's place: `item` is batch index * heads + head.
template <int kGroup>
struct GroupThread {
  unsigned item;            // 32 bits: a 64-bit division costs a warp more than its loads
  int group, warp, thread;  // group in the block; warp and thread in the group

  __device__ __forceinline__ GroupThread() {
    group = kGroup == 1 ? warp_index() : 0;
    warp = kGroup == 1 ? 0 : warp_index();
    thread = kGroup == 1 ? lane_number() : int(threadIdx.x);
    item = blockIdx.x * kGroups<kGroup> + group;
  }
};

}  // namespace adatape::kernels::attention
