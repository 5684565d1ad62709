// How tape_select uses shared memory, in bytes: the sizes for which kernels/budget.yaml computes
// occupancy, and the edges of what fits.
#include "kernels/select_plan.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace adatape::kernels {
namespace {

constexpr DeviceLimits kAmpere{166912, 108};  // sm_80
constexpr DeviceLimits kHopper{232448, 132};  // sm_90; sm_100 has as much shared memory

TapeSelect bank(DType dtype, int64_t batch, int64_t rows, bool shared) {
  TapeSelect p{};
  p.dtype = dtype;
  p.batch = batch;
  p.rows = rows;
  p.width = p.keys_row_stride = 64;
  p.keys_batch_stride = shared ? 0 : rows * 64;
  p.merge = 5;
  p.max_tokens = 10;
  return p;
}

TEST(SelectPlan, AnImagesBankStaysInSharedMemoryWhereItFits) {
  const TapeSelect half = bank(DType::kBFloat16, 256, 784, false);
  for (const DeviceLimits& limits : {kAmpere, kHopper}) {
    const SelectPlan plan = plan_select(half, limits);
    EXPECT_EQ(plan.tiles.stages, 1);
    EXPECT_EQ(plan.tiles.rows, 784);
    EXPECT_EQ(plan.bytes, 101068u);
    EXPECT_EQ(plan.blocks, 256);
  }
  const TapeSelect full = bank(DType::kFloat32, 256, 784, false);
  EXPECT_EQ(plan_select(full, kHopper).bytes, 201420u);
  const SelectPlan streamed = plan_select(full, kAmpere);
  EXPECT_EQ(streamed.tiles.stages, 2);
  EXPECT_EQ(streamed.tiles.rows, 256);
  EXPECT_EQ(streamed.bytes, 131788u);
}

TEST(SelectPlan, ExamplesShareABankWhereEveryMultiprocessorHasABlock) {
  const auto plan = [](int64_t batch) {
    return plan_select(bank(DType::kBFloat16, batch, 10000, true), kHopper);
  };
  EXPECT_EQ(plan(2000).examples, 8);
  EXPECT_EQ(plan(2000).tiles.rows, 512);
  EXPECT_EQ(plan(2000).bytes, 146016u);
  EXPECT_EQ(plan(2000).blocks, 132);
  EXPECT_EQ(plan(4 * 132).examples, 4);
  EXPECT_EQ(plan(4 * 132 - 1).examples, 1);
  EXPECT_EQ(plan_select(bank(DType::kFloat32, 2000, 10000, true), kHopper).bytes, 146016u);
  EXPECT_EQ(plan_select(bank(DType::kFloat32, 2000, 10000, true), kAmpere).bytes, 146016u);
  EXPECT_EQ(plan_select(bank(DType::kFloat32, 2000, 10000, false), kHopper).examples, 1);
}

TEST(SelectPlan, UsesNoMoreThanThereIs) {
  for (size_t bytes : {3000u, 10000u, 50000u, 166912u, 232448u}) {
    for (int64_t rows : {0, 1, 7, 300, 784, 5000}) {
      for (bool shared : {false, true}) {
        const TapeSelect p = bank(DType::kFloat32, 1000, rows, shared);
        const SelectPlan plan = plan_select(p, {bytes, 4});
        EXPECT_LE(plan.bytes + plan.examples * kSlotBytes, bytes);
        EXPECT_TRUE(rows == 0 || plan.tiles.rows > 0);
        EXPECT_TRUE(plan.tiles.stages == 2 || plan.tiles.rows == rows);
        EXPECT_LE(plan.blocks * plan.examples, 1000 + plan.examples);
      }
    }
  }
}

TEST(SelectPlan, FewerExamplesWhereTheirStateDoesNotFit) {
  const TapeSelect p = bank(DType::kBFloat16, 5000, 400000, true);
  EXPECT_EQ(plan_select(p, kHopper).examples, 4);
  EXPECT_THROW(plan_select(bank(DType::kBFloat16, 5000, 2000000, true), kHopper),
               std::runtime_error);
}

}  // namespace
}  // namespace adatape::kernels
