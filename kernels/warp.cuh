// What the kernels share: sums over a warp, the columns of a row that a lane owns, a search in
// offsets.
#pragma once

#include "kernels/device.h"

namespace adatape::kernels {

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

__device__ __forceinline__ int lane_number() { return int(threadIdx.x) % kWarp; }

/// The warp's number along the first dimension of a one-dimensional block and grid.
__device__ __forceinline__ uint32_t warp_number() {
  return blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp;
}

/// The sum of all lanes' values, on all lanes; the order of additions is fixed.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

/// kCount neighbours of a row in global memory as float, in pieces of 16 bytes or a single one;
/// zeros, and nothing is read, if not valid.
template <class E, int kCount>
__device__ __forceinline__ void load_columns(const E* row, bool valid, float (&value)[kCount]) {
  if constexpr (kCount == 1) {
    value[0] = valid ? widen(*row) : 0.0f;
  } else {
    constexpr int kPiece = kPer16Bytes<E>;
#pragma unroll
    for (int i = 0; i < kCount; i += kPiece) {
      float piece[kPiece];
      unpack<E>(load_global_128(row + i, valid), piece);
      for (int j = 0; j < kPiece; ++j) value[i + j] = piece[j];
    }
  }
}

/// The inverse.
template <class E, int kCount>
__device__ __forceinline__ void store_columns(E* row, const float (&value)[kCount]) {
  if constexpr (kCount == 1) {
    *row = narrow<E>(value[0]);
  } else {
    constexpr int kPiece = kPer16Bytes<E>;
#pragma unroll
    for (int i = 0; i < kCount; i += kPiece) {
      float piece[kPiece];
      for (int j = 0; j < kPiece; ++j) piece[j] = value[i + j];
      store_global_128(row + i, pack<E>(piece));
    }
  }
}

/// Columns that a lane owns where rows of `Row` (and of `Other`) are walked by a warp: as many as
/// fill 16 bytes of the smaller type, or one where rows are not aligned.
template <bool kWide, class Row, class Other = Row>
constexpr int kLaneColumns =
    !kWide ? 1 : (sizeof(Row) < sizeof(Other) ? kPer16Bytes<Row> : kPer16Bytes<Other>);

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
