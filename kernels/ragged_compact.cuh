// Stable compaction in two launches: counts of chunks, then each chunk adds up the counts before it
// and writes. A warp looks at 32 rows at a time; their votes are the bits that everything is
// counted from.
#pragma once

#include "kernels/launch.cuh"
#include "kernels/ragged_compact.h"
#include "kernels/warp.cuh"

namespace adatape::kernels {

constexpr int kCompactThreads = 256;
constexpr int kGatherThreads = 256;
constexpr int kCompactWarps = kCompactThreads / kWarp;
constexpr int kVotesPerWarp = 8;
constexpr int kVotesPerChunk = kCompactWarps * kVotesPerWarp;
constexpr int64_t kChunkRows = kVotesPerChunk * kWarp;

/// Rows [first, last) are those that a sequence has.
struct Packed {
  const uint8_t* keep;
  int64_t first, last;

  __device__ __forceinline__ explicit Packed(const RaggedCompact& p)
      : keep(p.keep), first(p.cu[0]), last(p.cu[p.batch] < p.rows ? p.cu[p.batch] : p.rows) {}

  /// Which of the 32 rows from `begin` on stay.
  __device__ __forceinline__ uint32_t vote(int64_t begin) const {
    const int64_t row = begin + lane_number();
    return __ballot_sync(kAllLanes, row >= first && row < last && keep[row] != 0);
  }
};

__global__ void __launch_bounds__(kCompactThreads) count_rows(RaggedCompact p) {
  __shared__ int warp_count[kCompactWarps];
  const int warp = int(threadIdx.x) / kWarp;
  const int64_t first = blockIdx.x * kChunkRows + warp * (kVotesPerWarp * kWarp);
  const Packed packed(p);
  int count = 0;
  for (int v = 0; v < kVotesPerWarp; ++v) count += __popc(packed.vote(first + v * kWarp));
  if (lane_number() == 0) warp_count[warp] = count;
  __syncthreads();
  if (threadIdx.x == 0) {
    int total = 0;
    for (int w = 0; w < kCompactWarps; ++w) total += warp_count[w];
    p.counts[blockIdx.x] = total;
  }
}

/// Sums of the counts of the chunks in front of this one, and of all; on all threads.
__device__ __forceinline__ void sum_counts(const RaggedCompact& p, int (&before)[kCompactWarps],
                                           int (&all)[kCompactWarps], int& sum_before,
                                           int& sum_all) {
  const int warp = int(threadIdx.x) / kWarp;
  int mine_before = 0, mine = 0;
  for (int c = int(threadIdx.x); c < int(gridDim.x); c += kCompactThreads) {
    const int count = p.counts[c];
    mine += count;
    if (c < int(blockIdx.x)) mine_before += count;
  }
  mine_before = warp_sum(mine_before);
  mine = warp_sum(mine);
  if (lane_number() == 0) {
    before[warp] = mine_before;
    all[warp] = mine;
  }
  __syncthreads();
  sum_before = sum_all = 0;
  for (int w = 0; w < kCompactWarps; ++w) {
    sum_before += before[w];
    sum_all += all[w];
  }
}

__global__ void __launch_bounds__(kCompactThreads) compact_rows(RaggedCompact p) {
  __shared__ int before[kCompactWarps];
  __shared__ int all[kCompactWarps];
  __shared__ uint32_t vote[kVotesPerChunk];
  __shared__ int rank[kVotesPerChunk];  // new row of the vote's first row that stays
  const int lane = lane_number(), warp = int(threadIdx.x) / kWarp;
  const int64_t chunk = blockIdx.x * kChunkRows;
  int sum_before, total;
  sum_counts(p, before, all, sum_before, total);

  const Packed packed(p);
  for (int v = warp * kVotesPerWarp; v < (warp + 1) * kVotesPerWarp; ++v) {
    const uint32_t bits = packed.vote(chunk + v * kWarp);
    if (lane == 0) vote[v] = bits;
  }
  __syncthreads();
  if (threadIdx.x < kVotesPerChunk) {
    int sum = sum_before;
    for (int v = 0; v < int(threadIdx.x); ++v) sum += __popc(vote[v]);
    rank[threadIdx.x] = sum;
  }
  __syncthreads();

  for (int v = warp; v < kVotesPerChunk; v += kCompactWarps) {
    const int64_t row = chunk + v * kWarp + lane;
    if (row >= p.rows) break;
    const uint32_t bits = vote[v];
    const int target = rank[v] + __popc(bits & ((1u << lane) - 1));
    const bool stays = bits >> lane & 1;
    if (stays) p.kept_index[target] = int32_t(row);
    p.position[row] = stays ? target : -1;
    if (row >= total) p.kept_index[row] = -1;
  }
  // Sequences that begin in this chunk begin anew behind the rows that stay in front of them.
  for (int64_t b = threadIdx.x; b <= p.batch; b += kCompactThreads) {
    const int64_t row = p.cu[b] < p.rows ? p.cu[b] : p.rows;
    const bool mine = row >= chunk && row < chunk + kChunkRows;
    const bool at_end = row == p.rows && blockIdx.x == gridDim.x - 1;
    if (row == p.rows ? !at_end : !mine) continue;
    if (at_end) {
      p.new_cu[b] = total;
    } else {
      const int v = int(row - chunk) / kWarp;
      p.new_cu[b] = rank[v] + __popc(vote[v] & ((1u << row % kWarp) - 1));
    }
  }
}

__device__ __forceinline__ uint4 load_word(const uint4* p) { return load_128(p); }
__device__ __forceinline__ void store_word(uint4* p, uint4 word) { store_128(p, word); }
template <class Word>
__device__ __forceinline__ Word load_word(const Word* p) {
  return *p;
}
template <class Word>
__device__ __forceinline__ void store_word(Word* p, Word word) {
  *p = word;
}

/// One warp moves 32 words of a row; strides and width count words.
template <class Word>
__global__ void __launch_bounds__(kGatherThreads) gather_rows(RowGather p) {
  const int64_t i = warp_number(), column = int64_t(blockIdx.y) * kWarp + lane_number();
  if (i >= p.count || column >= p.width) return;
  const int64_t row = p.index[i];
  const Word* source = static_cast<const Word*>(p.source) + row * p.source_row_stride + column;
  store_word(static_cast<Word*>(p.out) + i * p.out_row_stride + column,
             row >= 0 ? load_word(source) : Word{});
}

}  // namespace adatape::kernels
