// The scores of a bank's rows for several queries at once, and the best rows of each.
#pragma once

#include "kernels/ranking.cuh"
#include "kernels/select_state.cuh"

namespace adatape::kernels {

/// Scores `count` rows in shared memory, bank rows from `first` on, for the active examples.
template <class E, int kExamples>
__device__ __forceinline__ void score_rows(const SelectPlan& plan, const SelectMemory& memory,
                                           const uint4* tile, int first, int count, uint32_t active,
                                           const Slot* slot, bool bounded,
                                           uint64_t (&entry)[kExamples]) {
  constexpr int kRows = kRowsAtOnce<kExamples>, kPer = kPer16Bytes<E>;
  for (int round = 0; round < count; round += kRows * kSelectThreads) {
    float score[kExamples][kRows] = {};
    int row[kRows];
    for (int j = 0; j < kRows; ++j) row[j] = round + j * kSelectThreads + int(threadIdx.x);
    for (int chunk = 0; chunk < plan.tiles.chunks; ++chunk) {
      float key[kRows][kPer];
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        const int near = row[j] < count ? row[j] : count - 1;
        unpack<E>(load_128(tile + unit_of(plan.tiles, near, chunk)), key[j]);
      }
#pragma unroll
      for (int e = 0; e < kExamples; ++e) {
        if (!(active >> e & 1)) continue;
#pragma unroll
        for (int i = 0; i < kPer; i += 4) {
          float q[4];
          unpack<float>(load_128(memory.query + e * plan.padded_width + chunk * kPer + i), q);
#pragma unroll
          for (int j = 0; j < kRows; ++j) {
            for (int c = 0; c < 4; ++c) score[e][j] += q[c] * key[j][i + c];
          }
        }
      }
    }
#pragma unroll
    for (int e = 0; e < kExamples; ++e) {
      if (!(active >> e & 1)) continue;
      uint64_t candidate[kRows];
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        const int bank_row = first + row[j];
        const bool free =
            row[j] < count &&
            !(memory.taken[e * plan.words + bank_row / kWarp] >> bank_row % kWarp & 1);
        const uint64_t key = rank_key(score[e][j], bank_row);
        candidate[j] = free && !(bounded && key > slot[e].bound) ? key : 0;
      }
      offer(entry[e], candidate, plan.list);
    }
  }
}

/// Each warp's best rows among the first `limit` of the bank, into memory.best.
template <class E, int kExamples>
__device__ __forceinline__ void find_best(const TapeSelect& p, const SelectPlan& plan,
                                          const SelectMemory& memory, const E* bank, int limit,
                                          uint32_t active, const Slot* slot, bool bounded) {
  const BankTiles& tiles = plan.tiles;
  uint64_t entry[kExamples] = {};
  const auto stage = [&](int first) {
    return memory.keys +
           (tiles.stages == 1 ? 0 : first / tiles.rows % 2) * tiles.rows * tiles.chunks;
  };
  const auto fetch = [&](int first) {
    const int left = limit - first;
    fetch_rows(tiles, bank, p.keys_row_stride, p.width, first,
               left < 0            ? 0
               : left < tiles.rows ? left
                                   : tiles.rows,
               stage(first));
  };
  if (tiles.stages == 2) fetch(0);
  for (int first = 0; first < limit; first += tiles.rows) {
    if (tiles.stages == 2) {
      fetch(first + tiles.rows);
      cp_async_wait<1>();
      __syncthreads();
    }
    const int count = limit - first < tiles.rows ? limit - first : tiles.rows;
    score_rows<E>(plan, memory, stage(first), first, count, active, slot, bounded, entry);
    if (tiles.stages == 2) __syncthreads();
  }
  const int lane = lane_number(), warp = int(threadIdx.x) / kWarp;
#pragma unroll
  for (int e = 0; e < kExamples; ++e) {
    if (lane >= plan.list) continue;
    memory.best[(e * kSelectWarps + warp) * plan.list + lane] = entry[e];
  }
}

}  // namespace adatape::kernels
