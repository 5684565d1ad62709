#include "kernels/select_plan.h"

#include <algorithm>

#include "kernels/launch.cuh"

namespace adatape::kernels {
namespace {

/// Bytes of everything but the keys.
size_t bytes_beside_keys(const SelectPlan& plan, int64_t merge) {
  const size_t one = size_t(kSelectWarps) * plan.list * sizeof(uint64_t) +
                     plan.padded_width * sizeof(float) + merge * (sizeof(int32_t) + sizeof(float)) +
                     plan.words * sizeof(uint32_t);
  return plan.examples * one;
}

/// Rows that all threads score at once: more in a tile would not save anything.
int64_t rows_of_a_round(int examples) {
  return kSelectThreads * (examples == 1 ? kRowsAtOnce<1> : kRowsAtOnce<2>);
}

/// Gives the keys the room that is left; false if that is not enough for a row or two.
bool place_keys(SelectPlan& plan, int64_t rows, int64_t merge, size_t shared_bytes) {
  const size_t beside = bytes_beside_keys(plan, merge), fixed = plan.examples * kSlotBytes;
  if (beside + fixed > shared_bytes) return false;
  const size_t row_bytes = size_t(plan.tiles.chunks) * 16;
  const int64_t fit = row_bytes ? int64_t((shared_bytes - beside - fixed) / row_bytes) : rows;
  plan.tiles.stages = rows <= fit ? 1 : 2;
  int64_t tile = rows <= fit ? rows : std::min(fit / 2, rows_of_a_round(plan.examples));
  if (plan.tiles.stages == 2 && tile > kSelectThreads) tile -= tile % kSelectThreads;
  plan.tiles.rows = int(tile);
  plan.bytes = beside + plan.tiles.stages * tile * row_bytes;
  return rows == 0 || tile > 0;
}

}  // namespace

SelectPlan plan_select(const TapeSelect& p, const DeviceLimits& limits) {
  const int64_t element_bytes = p.dtype == DType::kFloat32 ? 4 : 2, per_chunk = 16 / element_bytes;
  SelectPlan plan{};
  plan.tiles.chunks = int(ceil_divide(p.width, per_chunk));
  plan.tiles.wide = rows_are_wide(p.keys, p.keys_row_stride, p.width, element_bytes) &&
                    p.keys_batch_stride * element_bytes % 16 == 0;
  plan.padded_width = int(plan.tiles.chunks * per_chunk);
  plan.list = int(std::min<int64_t>(p.merge, 32));
  plan.words = int(ceil_divide(p.rows, 32));
  // Several examples share what is read of a common bank, but only where there are enough of them
  // to give every multiprocessor a block.
  const bool shared_bank = p.keys_batch_stride == 0;
  for (int examples : {8, 4, 1}) {
    if (examples > 1 && (!shared_bank || p.batch < examples * limits.multiprocessors)) continue;
    plan.examples = examples;
    if (!place_keys(plan, p.rows, p.merge, limits.shared_bytes)) continue;
    const int64_t groups = ceil_divide(p.batch, examples);
    // Blocks of a shared bank go from one group of examples to the next, so that each
    // multiprocessor fetches the bank once. Two of them fit if each takes no more than half.
    const int64_t resident =
        limits.multiprocessors * (plan.bytes <= limits.shared_bytes / 2 ? 2 : 1);
    plan.blocks = shared_bank ? std::min(groups, resident) : groups;
    return plan;
  }
  throw std::runtime_error("[tape_select] a bank of " + std::to_string(p.rows) + " rows of width " +
                           std::to_string(p.width) + ", " + std::to_string(p.merge) +
                           " read in a step, does not fit this device's shared memory");
}

}  // namespace adatape::kernels
