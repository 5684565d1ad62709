// What a tape_select block remembers of the examples that it reads for, and how they come and go.
#pragma once

#include "kernels/bank_tiles.cuh"
#include "kernels/select_plan.h"
#include "kernels/tape_select.h"

namespace adatape::kernels {

struct Slot {
  int64_t example;  // >= batch: none
  uint64_t bound;   // after the first pass: only rows that rank no better are asked for
  int t, available, found;
  float halting, ponder;
  bool goes_on;  // with the same example
};
static_assert(sizeof(Slot) <= kSlotBytes);

/// The arrays in dynamic shared memory; those behind the keys have a part for each example.
struct SelectMemory {
  uint4* keys;      // [stages][rows][chunks]
  uint64_t* best;   // [examples][warps][list]
  float* query;     // [examples][padded_width]
  int32_t* row;     // [examples][merge]: those of a step
  float* weight;    // [examples][merge]: their scores, then their weights
  uint32_t* taken;  // [examples][words]: bits of the rows that are not available

  __device__ __forceinline__ SelectMemory(const SelectPlan& plan, int64_t merge, uint4* memory) {
    const BankTiles& tiles = plan.tiles;
    keys = memory;
    best = reinterpret_cast<uint64_t*>(keys + tiles.stages * tiles.rows * tiles.chunks);
    query = reinterpret_cast<float*>(best + plan.examples * kSelectWarps * plan.list);
    row = reinterpret_cast<int32_t*>(query + plan.examples * plan.padded_width);
    weight = reinterpret_cast<float*>(row + plan.examples * merge);
    taken = reinterpret_cast<uint32_t*>(weight + plan.examples * merge);
  }

  /// The parts of example e.
  __device__ __forceinline__ SelectMemory(const SelectMemory& all, const SelectPlan& plan,
                                          int64_t merge, int e)
      : keys(all.keys),
        best(all.best + e * kSelectWarps * plan.list),
        query(all.query + e * plan.padded_width),
        row(all.row + e * merge),
        weight(all.weight + e * merge),
        taken(all.taken + e * plan.words) {}
};

__device__ __forceinline__ int64_t rows_that_exist(const TapeSelect& p, int64_t b) {
  if (!p.bank_length) return p.rows;
  const int64_t length = p.bank_length[b];
  return length < 0 ? 0 : length < p.rows ? length : p.rows;
}

/// A warp marks the rows that example b may not read; returns how many it may.
__device__ __forceinline__ int mark_available(const TapeSelect& p, const SelectPlan& plan,
                                              int64_t b, uint32_t* taken) {
  const int64_t rows = rows_that_exist(p, b);
  const uint8_t* blocked = p.blocked ? p.blocked + b * p.blocked_batch_stride : nullptr;
  int available = 0;
  for (int word = 0; word < plan.words; ++word) {
    const int64_t row = word * kWarp + lane_number();
    const bool free = row < rows && !(blocked && blocked[row]);
    const uint32_t bits = __ballot_sync(kAllLanes, free);
    if (lane_number() == 0) taken[word] = ~bits;
    available += __popc(bits);
  }
  return available;
}

/// A warp writes what remains of example b's results after its last step.
__device__ __forceinline__ void close_example(const TapeSelect& p, int64_t b, int steps,
                                              float ponder) {
  const int64_t first = b * p.max_tokens * p.merge, all = p.max_tokens * p.merge;
  for (int64_t i = steps * p.merge + lane_number(); i < all; i += kWarp) {
    p.index[first + i] = -1;
    static_cast<float*>(p.weight)[first + i] = 0;
  }
  if (lane_number() == 0) {
    p.length[b] = steps;
    static_cast<float*>(p.ponder)[b] = ponder;
  }
}

/// A warp gives the slot the next of its examples that has a row to read.
template <class E>
__device__ __forceinline__ void admit_example(const TapeSelect& p, const SelectPlan& plan,
                                              const SelectMemory& mine, int64_t stride,
                                              Slot& slot) {
  int64_t b = slot.example + stride;
  int available = 0;
  for (; b < p.batch; b += stride) {
    available = mark_available(p, plan, b, mine.taken);
    if (available > 0) break;
    close_example(p, b, 0, 0);
  }
  if (b < p.batch) {
    const E* query = static_cast<const E*>(p.query) + b * p.query_stride;
    for (int c = lane_number(); c < plan.padded_width; c += kWarp) {
      mine.query[c] = c < p.width ? widen(query[c]) : 0.0f;
    }
  }
  __syncwarp();  // all lanes know the example that was
  if (lane_number() != 0) return;
  slot.example = b;
  slot.t = 0;
  slot.available = available;
  slot.halting = slot.ponder = 0;
}

}  // namespace adatape::kernels
