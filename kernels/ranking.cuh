// The best rows of a bank, exactly and in one order: score descending, row ascending, NaN first.
// Scores and rows become one integer each, so that the order of comparisons cannot matter.
#pragma once

#include "kernels/warp.cuh"

namespace adatape::kernels {

/// Greater means better. -0 equals +0; no row gives 0, which stands for none.
__device__ __forceinline__ uint64_t rank_key(float score, int64_t row) {
  const uint32_t bits = __float_as_uint(score + 0.0f);
  const uint32_t rank = score != score ? 0xffffffffu : bits ^ (bits >> 31 ? 0xffffffffu : 1u << 31);
  return uint64_t(rank) << 32 | uint32_t(~row);
}
__device__ __forceinline__ int32_t row_of(uint64_t key) { return int32_t(~uint32_t(key)); }
__device__ __forceinline__ float score_of(uint64_t key) {
  const uint32_t rank = uint32_t(key >> 32);
  return __uint_as_float(rank ^ (rank >> 31 ? 1u << 31 : 0xffffffffu));
}

/// The largest of all lanes' keys, on all lanes.
__device__ __forceinline__ uint64_t warp_max(uint64_t key) {
  const uint32_t high = __reduce_max_sync(kAllLanes, uint32_t(key >> 32));
  const uint32_t low = uint32_t(key >> 32) == high ? uint32_t(key) : 0;
  return uint64_t(high) << 32 | __reduce_max_sync(kAllLanes, low);
}

/// A warp's best keys so far: lane l holds the l-th best, 0 if there is none. Only the first
/// `capacity` (1 to 32) are asked for. Takes in the candidates of all lanes, none of them twice.
template <int kCount>
__device__ __forceinline__ void offer(uint64_t& entry, uint64_t (&candidate)[kCount],
                                      int capacity) {
  for (;;) {
    uint64_t best = candidate[0];
#pragma unroll
    for (int i = 1; i < kCount; ++i) best = candidate[i] > best ? candidate[i] : best;
    const uint64_t worst = __shfl_sync(kAllLanes, entry, capacity - 1);
    if (!__any_sync(kAllLanes, best > worst)) return;
    const uint64_t top = warp_max(best);
    const int place = __popc(__ballot_sync(kAllLanes, entry > top));
    const uint64_t above = __shfl_up_sync(kAllLanes, entry, 1);
    if (lane_number() == place) entry = top;
    if (lane_number() > place) entry = above;
#pragma unroll
    for (int i = 0; i < kCount; ++i) candidate[i] = candidate[i] == top ? 0 : candidate[i];
  }
}

}  // namespace adatape::kernels
