// What the kernels share: sums over a warp, the piece of a row that a lane owns, a search in
// offsets.
#pragma once

#include "kernels/device.h"

namespace adatape::kernels {

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

__device__ __forceinline__ int lane_number() { return int(threadIdx.x) % kWarp; }

/// The sum of all lanes' values, on all lanes; the order of additions is fixed.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

/// How a warp walks over the columns of a row of E: a lane holds kCount neighbours, 16 bytes if the
/// rows allow that (kWide), else one.
template <class E, bool kWide>
struct Piece {
  static constexpr int kCount = kWide ? kPer16Bytes<E> : 1;
  static constexpr int kWarpColumns = kWarp * kCount;

  static __device__ __forceinline__ void load(const E* row, float (&value)[kCount]) {
    if constexpr (kWide) {
      unpack<E>(load_128(row), value);
    } else {
      value[0] = widen(*row);
    }
  }
  static __device__ __forceinline__ void store(E* row, const float (&value)[kCount]) {
    if constexpr (kWide) {
      store_128(row, pack<E>(value));
    } else {
      *row = narrow<E>(value[0]);
    }
  }
};

/// The example b with offsets[b] <= row < offsets[b + 1], for row < offsets[batch]; the whole warp
/// searches, 32 offsets at a time.
__device__ __forceinline__ int64_t find_example(const int32_t* offsets, int64_t batch,
                                                int64_t row) {
  int64_t low = 0, high = batch;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const int64_t step = (high - low + kWarp - 1) / kWarp;
    const int64_t probe = low + (lane_number() + 1) * step;
    const uint32_t below = __ballot_sync(kAllLanes, probe < high && offsets[probe] <= row);
    low += __popc(below) * step;
    high = low + step < high ? low + step : high;
  }
  return low;
}

}  // namespace adatape::kernels
