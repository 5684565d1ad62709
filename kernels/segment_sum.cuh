// Scatter-adds without atomics, so that equal runs give equal bits: sorted pairs for a bank that
// all examples share, a search of the example's own slots for banks that they do not.
#pragma once

#include "kernels/launch.cuh"
#include "kernels/tape_gather.h"
#include "kernels/warp.cuh"

namespace adatape::kernels {

constexpr int kSumThreads = 256;
constexpr int kSumWarps = kSumThreads / kWarp;
constexpr int kPairsInFlight = 4;
constexpr int64_t kBlockPairs = 64;  // added up by one warp before they join a total

/// sum += the scaled rows of the pairs [begin, end), one after another.
template <class Source, int kColumns>
__device__ __forceinline__ void sum_pairs(const SegmentSum& p, int64_t begin, int64_t end,
                                          int64_t column, float (&sum)[kColumns]) {
  const Source* source = static_cast<const Source*>(p.source) + column;
  for (int64_t i = begin; i < end; i += kPairsInFlight) {
    int64_t row[kPairsInFlight];
    float value[kPairsInFlight][kColumns], scale[kPairsInFlight];
#pragma unroll
    for (int j = 0; j < kPairsInFlight; ++j) {
      const bool exists = i + j < end;
      row[j] = exists ? p.row[i + j] : 0;
      scale[j] = exists && p.scale32 ? p.scale32[i + j] : 1.0f;
    }
#pragma unroll
    for (int j = 0; j < kPairsInFlight; ++j) {
      const bool valid = i + j < end && column < p.width;
      load_columns(source + row[j] * p.source_row_stride, valid, value[j]);
    }
#pragma unroll
    for (int j = 0; j < kPairsInFlight; ++j) {
      for (int c = 0; c < kColumns; ++c) sum[c] += scale[j] * value[j][c];
    }
  }
}

template <class Out, int kColumns>
__device__ __forceinline__ void store_segment(const SegmentSum& p, int64_t segment, int64_t column,
                                              const float (&sum)[kColumns]) {
  if (column >= p.width) return;
  const int64_t row = p.out_row ? p.out_row[segment] : segment;
  store_columns(static_cast<Out*>(p.out) + row * p.out_row_stride + column, sum);
}

/// A block has as many segments as warps. Short ones are a warp's own; for a long one all warps
/// take a block of pairs each, and the first adds up what they found, in the order of the pairs.
template <class Source, class Out, bool kWide>
__global__ void __launch_bounds__(kSumThreads, 3) sum_segments(SegmentSum p, int64_t segments) {
  constexpr int kColumns = kLaneColumns<kWide, Source, Out>;
  __shared__ float partial[kSumWarps][kColumns][kWarp];
  const int lane = lane_number(), warp = int(threadIdx.x) / kWarp;
  const int64_t first = int64_t(blockIdx.x) * kSumWarps;
  const int64_t column = (int64_t(blockIdx.y) * kWarp + lane) * kColumns;
  for (int s = 0; s < kSumWarps && first + s < segments; ++s) {
    const int64_t begin = p.start[first + s], end = p.start[first + s + 1];
    const bool alone = end - begin <= kBlockPairs;
    if (alone && warp != s) continue;
    float total[kColumns] = {};
    for (int64_t round = begin; round < end; round += kSumWarps * kBlockPairs) {
      const int64_t mine = round + (alone ? 0 : warp * kBlockPairs);
      float sum[kColumns] = {};
      sum_pairs<Source>(p, mine, mine + kBlockPairs < end ? mine + kBlockPairs : end, column, sum);
      if (alone) {
        for (int c = 0; c < kColumns; ++c) total[c] = sum[c];
        break;
      }
      for (int c = 0; c < kColumns; ++c) partial[warp][c][lane] = sum[c];
      __syncthreads();
      for (int w = 0; w < kSumWarps && warp == 0 && round + w * kBlockPairs < end; ++w) {
        for (int c = 0; c < kColumns; ++c) total[c] += partial[w][c][lane];
      }
      __syncthreads();
    }
    if (alone || warp == 0) store_segment<Out>(p, first + s, column, total);
  }
}

/// One warp makes kWarp * kColumns columns of a bank row; it looks at 32 slots at a time.
template <class Source, class Out, bool kWide>
__global__ void __launch_bounds__(kSumThreads, 4) scatter_tape(TapeScatter p) {
  constexpr int kColumns = kLaneColumns<kWide, Source, Out>;
  const int lane = lane_number();
  const uint32_t bank_row = warp_number(), rows = uint32_t(p.rows), merge = uint32_t(p.merge);
  const int64_t b = bank_row / rows;
  const int64_t column = (int64_t(blockIdx.y) * kWarp + lane) * kColumns;
  if (b >= p.batch) return;
  const int64_t steps = p.offsets ? p.offsets[b + 1] - p.offsets[b] : p.length[b];
  const int64_t first = b * p.max_tokens * p.merge;
  const Source* source = static_cast<const Source*>(p.source) + column;
  float sum[kColumns] = {};
  for (int64_t slot = 0; slot < steps * p.merge; slot += kWarp) {
    const bool exists = slot + lane < steps * p.merge;
    const int32_t row = exists ? p.index[first + slot + lane] : -1;
    uint32_t named = __ballot_sync(kAllLanes, row == int32_t(bank_row % rows));
    for (; named; named &= named - 1) {
      const uint32_t s = uint32_t(slot) + __ffs(named) - 1;
      const int64_t from = p.offsets ? p.offsets[b] + s / merge : first + s;
      float value[kColumns];
      load_columns(source + from * p.source_row_stride, column < p.width, value);
      const float weight = p.weight ? p.weight[first + s] : 1.0f;
      for (int c = 0; c < kColumns; ++c) sum[c] += weight * value[c];
    }
  }
  if (column < p.width) {
    store_columns(static_cast<Out*>(p.out) + int64_t(bank_row) * p.width + column, sum);
  }
}

}  // namespace adatape::kernels
