// What the attention kernels share: the rows of a sequence, which block works on which of them, and
// tiles of rows in shared memory.
#pragma once

#include "kernels/ragged_attention.h"
#include "kernels/warp.cuh"

namespace adatape::kernels::attention {

constexpr int kTileRows = 64;  // rows that a block of the tile kernels owns, 16 for each warp
constexpr int kWarps = 4;
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_inff();

__device__ __forceinline__ int warp_index() { return int(threadIdx.x / 32); }

/// One side (queries or keys) of one sequence.
struct Sequence {
  int base_first, base_count, tail_first, count;

  __device__ __forceinline__ Sequence(const RaggedRows& rows, int b) {
    base_first = rows.cu[b];
    base_count = rows.cu[b + 1] - base_first;
    tail_first = rows.tail ? rows.tail[b] : 0;
    count = base_count + (rows.tail ? rows.tail[b + 1] - tail_first : 0);
  }
  /// Packed row of the sequence's i-th row.
  __device__ __forceinline__ int row(int i) const {
    return i < base_count ? base_first + i : tail_first + i - base_count;
  }
};

/// The rows i of one sequence that a block owns: [first, first + kTileRows), as far as they exist.
struct OwnedTile {
  int sequence, first;
};

/// The grid has a slot for every tile of every sequence, without a list of tiles: the slots of
/// sequence b begin at (rows before b) / kTileRows + b, which leaves room for all of its tiles
/// whatever the lengths, and at most one slot too many per sequence. So a grid of slots(rows,
/// batch) is known on the host, and offsets can stay on the device.
__device__ __forceinline__ int first_slot(const RaggedRows& rows, int b) {
  const int before = rows.cu[b] - rows.cu[0] + (rows.tail ? rows.tail[b] - rows.tail[0] : 0);
  return before / kTileRows + b;
}
constexpr int64_t slots(int64_t rows, int64_t batch) { return rows / kTileRows + batch; }

/// The tile of a slot, `first` behind the sequence's end if the slot is one too many. All lanes of
/// the warp search together, 32 probes at a time: two dependent loads for a thousand sequences.
__device__ __forceinline__ OwnedTile find_tile(const RaggedRows& rows, int batch, int slot) {
  int first = 0, count = batch;  // the last sequence with first_slot <= slot is in [first, +count)
  while (count > 1) {
    const int step = (count + 31) / 32, probe = lane_number() * step;
    const bool before = probe < count && first_slot(rows, first + probe) <= slot;
    const int skipped = (__popc(__ballot_sync(kAllLanes, before)) - 1) * step;
    first += skipped;
    count = min(step, count - skipped);
  }
  return {first, (slot - first_slot(rows, first)) * kTileRows};
}

template <class T>
__device__ __forceinline__ T* row_pointer(const PackedHeads& tensor, int row, int head) {
  return static_cast<T*>(tensor.data) + row * tensor.row_stride + head * tensor.head_stride;
}

/// Where row r's 16-byte chunk c lies in a tile [rows, C], in elements. Chunks of a row are
/// permuted so that the same chunk of eight consecutive rows falls in eight different bank groups.
template <class T, int C>
__device__ __forceinline__ int chunk_offset(int row, int chunk) {
  constexpr int kChunks = C / kPer16Bytes<T>;
  static_assert(kChunks % 2 == 0);
  constexpr int kBits = kChunks % 8 == 0 ? 3 : kChunks % 4 == 0 ? 2 : 1;
  const int permuted = chunk ^ (row >> (3 - kBits) & ((1 << kBits) - 1));
  return row * C + permuted * kPer16Bytes<T>;
}

/// Starts copying rows [first, first + rows) of a sequence's head to a tile [rows, C]; what lies
/// behind the sequence or the width becomes zeros. kThreads threads take part.
template <class T, int C, int kThreads>
__device__ __forceinline__ void load_rows(T* tile, const PackedHeads& source, int head,
                                          const Sequence& sequence, int first, int rows, int width,
                                          int thread) {
  constexpr int kChunks = C / kPer16Bytes<T>;
  const int chunks = rows * kChunks;
#pragma unroll 2  // more would spill where registers are short
  for (int i = 0; i < (chunks + kThreads - 1) / kThreads; ++i) {
    const int at = i * kThreads + thread, row = at / kChunks, chunk = at % kChunks;
    if (chunks % kThreads && at >= chunks) break;
    const bool valid = first + row < sequence.count && chunk * kPer16Bytes<T> < width;
    const T* from = row_pointer<T>(source, valid ? sequence.row(first + row) : 0, head);
    cp_async_16(tile + chunk_offset<T, C>(row, chunk), from + chunk * kPer16Bytes<T>, valid);
  }
}

/// Starts copying step t of a stream, rows [t * kStage, +kStage) of two tensors, into one of two
/// stages, which alternate. All threads of a block of the tile kernels take part.
template <class T, int C, int kStage>
__device__ __forceinline__ void load_stage(T* stages, int t, const PackedHeads& first,
                                           const PackedHeads& second, int head,
                                           const Sequence& sequence, int width) {
  constexpr int kThreads = 32 * kWarps;
  T* stage = stages + t % 2 * (2 * kStage * C);
  const int row = t * kStage, thread = int(threadIdx.x);
  load_rows<T, C, kThreads>(stage, first, head, sequence, row, kStage, width, thread);
  load_rows<T, C, kThreads>(stage + kStage * C, second, head, sequence, row, kStage, width, thread);
  cp_async_commit();
}

/// Sum and maximum over the kLanes neighbouring lanes that share a row.
template <int kLanes>
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int bit = 1; bit < kLanes; bit *= 2) x += __shfl_xor_sync(kAllLanes, x, bit);
  return x;
}
template <int kLanes>
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
  for (int bit = 1; bit < kLanes; bit *= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, bit));
  return x;
}

__device__ __forceinline__ int blocks_of_16(int rows) { return (rows + 15) / 16; }

}  // namespace adatape::kernels::attention
