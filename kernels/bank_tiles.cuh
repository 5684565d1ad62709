// Bank rows in shared memory: the whole bank where it fits, else tiles of it that take turns.
#pragma once

#include "kernels/select_plan.h"
#include "kernels/warp.cuh"

namespace adatape::kernels {

/// Unit of chunk `chunk` of row `row`. Within each 8 rows the chunks are exchanged, so that 8
/// threads which read the same chunk of 8 rows meet 8 different banks of shared memory.
__device__ __forceinline__ int unit_of(const BankTiles& tiles, int row, int chunk) {
  const int chunks = tiles.chunks;
  int exchange = 0;
  if (chunks % 8 == 0) exchange = row & 7;
  if (chunks == 4) exchange = row >> 1 & 3;
  if (chunks == 2) exchange = row >> 2 & 1;
  return row * chunks + (chunk ^ exchange);
}

/// Up to 16 bytes of elements as they are, zeros behind the first `count`.
template <class E>
__device__ __forceinline__ uint4 gather_elements(const E* source, int64_t count) {
  float value[kPer16Bytes<E>];
#pragma unroll
  for (int i = 0; i < kPer16Bytes<E>; ++i) value[i] = i < count ? widen(source[i]) : 0.0f;
  return pack<E>(value);
}

/// Element `column` of a row of the tile.
template <class E>
__device__ __forceinline__ float value_of(const BankTiles& tiles, const uint4* tile, int row,
                                          int column) {
  const uint4* unit = tile + unit_of(tiles, row, column / kPer16Bytes<E>);
  return widen(reinterpret_cast<const E*>(unit)[column % kPer16Bytes<E>]);
}

/// Starts to copy the rows [first, first + count) into a tile; all threads of the block take part.
template <class E>
__device__ __forceinline__ void fetch_rows(const BankTiles& tiles, const E* bank,
                                           int64_t row_stride, int64_t width, int64_t first,
                                           int count, uint4* tile) {
  for (int unit = int(threadIdx.x); unit < count * tiles.chunks; unit += int(blockDim.x)) {
    const int row = unit / tiles.chunks, chunk = unit % tiles.chunks;
    const int64_t column = chunk * kPer16Bytes<E>;
    const E* source = bank + (first + row) * row_stride + column;
    uint4* destination = tile + unit_of(tiles, row, chunk);
    if (tiles.wide) {
      cp_async_16(destination, source, true);
    } else {
      store_128(destination, gather_elements(source, width - column));
    }
  }
  cp_async_commit();
}

}  // namespace adatape::kernels
