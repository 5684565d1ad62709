// Adaptive tape reading in one launch. A block reads for kExamples examples at a time: one with a
// bank of its own, or several that share a bank, so that each key that comes from memory is scored
// for all of them. An example that halts makes room for the block's next one. Which examples share
// a block, and how the bank is cut, changes no bit: a score is one sum in channel order.
//
// A step: all threads score rows, and each warp keeps its best rows in its lanes; the warp of an
// example's number merges those lists, does the softmax and the halting; all threads make the next
// queries.
#pragma once

#include "kernels/select_scores.cuh"

namespace adatape::kernels {

/// A warp picks its example's next best rows out of the warps' lists: they and their scores are
/// appended to what this step has found.
__device__ __forceinline__ void merge_lists(const SelectPlan& plan, const SelectMemory& mine,
                                            int64_t merge, bool first_pass, Slot& slot) {
  const int lane = lane_number(), found = first_pass ? 0 : slot.found;
  const int wanted = merge - found < plan.list ? int(merge) - found : plan.list;
  uint64_t candidate[kSelectWarps], entry = 0;
#pragma unroll
  for (int w = 0; w < kSelectWarps; ++w) {
    candidate[w] = lane < plan.list ? mine.best[w * plan.list + lane] : 0;
  }
  offer(entry, candidate, wanted);
  const bool take = lane < wanted && entry != 0;
  if (take) {
    mine.row[found + lane] = row_of(entry);
    mine.weight[found + lane] = score_of(entry);
  }
  const int more = __popc(__ballot_sync(kAllLanes, take));
  const uint64_t last = __shfl_sync(kAllLanes, entry, wanted - 1);
  __syncwarp();
  if (lane == 0) {
    slot.found = found + more;
    slot.bound = last ? last - 1 : 0;
  }
  __syncwarp();
}

/// A warp turns its example's scores into weights, writes the step, and decides whether the example
/// goes on.
__device__ __forceinline__ void take_step(const TapeSelect& p, const SelectMemory& mine,
                                          Slot& slot) {
  const int lane = lane_number(), n = slot.found;
  const float scale = float(p.scale), top = mine.weight[0];
  __syncwarp();
  float total = 0, squares = 0, first = 0;
  for (int k = lane; k < n; k += kWarp) {
    const float share = expf(scale * (mine.weight[k] - top));
    mine.weight[k] = share;
    total += share;
  }
  total = warp_sum(total);
  const int64_t out = (slot.example * p.max_tokens + slot.t) * p.merge;
  float* weight = static_cast<float*>(p.weight) + out;
  for (int k = lane; k < p.merge; k += kWarp) {
    const float w = k < n ? mine.weight[k] / total : 0.0f;
    const int32_t row = k < n ? mine.row[k] : -1;
    p.index[out + k] = row;
    weight[k] = w;
    if (k >= n) continue;
    mine.weight[k] = w;
    squares += w * w;
    if (k == 0) first = w;
    atomicAdd(&mine.taken[row / kWarp], 1u << row % kWarp);
  }
  squares = warp_sum(squares);
  first = __shfl_sync(kAllLanes, first, 0);
  const int t = slot.t + 1, available = slot.available - n;
  const float halting = slot.halting + first;
  const float ponder = slot.ponder + (1 - (p.gini ? squares : first));
  const bool goes_on = t < p.max_tokens && available > 0 && !(halting >= float(p.threshold));
  if (!goes_on) close_example(p, slot.example, t, ponder);
  __syncwarp();
  if (lane != 0) return;
  slot.t = t;
  slot.available = available;
  slot.halting = halting;
  slot.ponder = ponder;
  slot.goes_on = goes_on;
}

/// query <- (query + z) / 2 or z, z = sum_k weight_k key_k, for the examples that go on.
template <class E>
__device__ __forceinline__ void next_queries(const TapeSelect& p, const SelectPlan& plan,
                                             const SelectMemory& memory, const Slot* slot) {
  const float keep = p.average_query ? 0.5f : 0.0f, share = p.average_query ? 0.5f : 1.0f;
  const int width = int(p.width);
  for (int i = int(threadIdx.x); i < plan.examples * width; i += kSelectThreads) {
    const int e = i / width, c = i % width;
    if (!slot[e].goes_on) continue;
    const SelectMemory mine(memory, plan, p.merge, e);
    const E* bank = static_cast<const E*>(p.keys) + slot[e].example * p.keys_batch_stride;
    float q = mine.query[c] * keep;
    for (int k = 0; k < slot[e].found; ++k) {
      const int64_t row = mine.row[k];
      const float key = plan.tiles.stages == 1 ? value_of<E>(plan.tiles, memory.keys, int(row), c)
                                               : widen(bank[row * p.keys_row_stride + c]);
      q += share * mine.weight[k] * key;
    }
    mine.query[c] = q;
  }
}

template <class E, int kExamples>
__global__ void __launch_bounds__(kSelectThreads, 2) select_tape(TapeSelect p, SelectPlan plan) {
  DYNAMIC_SHARED(uint4, dynamic);
  __shared__ Slot slot[kExamples];
  const SelectMemory memory(plan, p.merge, dynamic);
  const int64_t first = int64_t(blockIdx.x) * kExamples, stride = int64_t(gridDim.x) * kExamples;
  // With a bank of its own an example has the block to itself.
  const bool own_bank = p.keys_batch_stride != 0;
  const E* bank = static_cast<const E*>(p.keys) + (own_bank ? first * p.keys_batch_stride : 0);
  const int limit = int(own_bank ? rows_that_exist(p, first) : p.rows);
  const int warp = int(threadIdx.x) / kWarp;
  if (threadIdx.x < kExamples) {
    slot[threadIdx.x].example = first + int(threadIdx.x) - stride;
    slot[threadIdx.x].goes_on = false;
  }
  if (plan.tiles.stages == 1) {
    fetch_rows(plan.tiles, bank, p.keys_row_stride, p.width, 0, limit, memory.keys);
    cp_async_wait<0>();
  }
  __syncthreads();
  for (;;) {
    const SelectMemory mine(memory, plan, p.merge, warp);
    if (warp < kExamples && !slot[warp].goes_on && slot[warp].example < p.batch) {
      admit_example<E>(p, plan, mine, stride, slot[warp]);
    }
    __syncthreads();
    uint32_t active = 0;
    for (int e = 0; e < kExamples; ++e) active |= uint32_t(slot[e].example < p.batch) << e;
    if (!active) return;
    const bool busy = warp < kExamples && active >> warp & 1;
    for (int64_t pass = 0; pass < p.merge; pass += kWarp) {
      find_best<E, kExamples>(p, plan, memory, bank, limit, active, slot, pass > 0);
      __syncthreads();
      if (busy) merge_lists(plan, mine, p.merge, pass == 0, slot[warp]);
      if (pass + kWarp < p.merge) __syncthreads();
    }
    if (busy) take_step(p, mine, slot[warp]);
    __syncthreads();
    next_queries<E>(p, plan, memory, slot);
  }
}

}  // namespace adatape::kernels
