#include "csrc/nn/rows.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace adatape::nn {
namespace {

/// Two examples of two base rows; tapes of 3 and 0 rows.
ops::Ragged sample() {
  const torch::Tensor base = torch::arange(8.0).view({2, 2, 2});
  const torch::Tensor tape = torch::arange(100.0, 106.0).view({3, 2});
  return append_tape(pack(base), tape, torch::tensor({0, 3, 3}, torch::kInt), 5);
}

TEST(Rows, AppendTapeKeepsBaseRowsFirst) {
  const ops::Ragged x = sample();
  EXPECT_EQ(x.base_rows, 4);
  EXPECT_EQ(x.longest, 7);
  EXPECT_TRUE(torch::equal(x.offsets_B1, torch::tensor({0, 2, 4}, torch::kInt)));
  EXPECT_TRUE(torch::equal(*x.tail_B1, torch::tensor({4, 7, 7}, torch::kInt)));
  EXPECT_TRUE(torch::equal(row_counts(x), torch::tensor({5, 2}, torch::kLong)));
  EXPECT_TRUE(torch::equal(first_rows(x), torch::tensor({0, 2}, torch::kLong)));
}

TEST(Rows, MeanCountsTheRowsThatAnExampleHas) {
  const ops::Ragged x = sample();
  const torch::Tensor mean = mean_rows(x);
  EXPECT_TRUE(torch::allclose(mean[0], torch::tensor({(0 + 2 + 100 + 102 + 104) / 5.0f,
                                                      (1 + 3 + 101 + 103 + 105) / 5.0f})));
  EXPECT_TRUE(torch::allclose(mean[1], torch::tensor({5.0f, 6.0f})));
  EXPECT_TRUE(torch::allclose(mean_rows(x, true)[0], torch::tensor({1.0f, 2.0f})));
}

TEST(Rows, MeanIsDifferentiable) {
  ops::Ragged x = sample();
  x.values_TD = x.values_TD.to(torch::kDouble).requires_grad_();
  const torch::Tensor weight = torch::tensor({1.0, 10.0}, torch::kDouble).unsqueeze(1);
  (mean_rows(x) * weight).sum().backward();
  const torch::Tensor grad = x.values_TD.grad().select(1, 0);
  EXPECT_TRUE(
      torch::allclose(grad, torch::tensor({0.2, 0.2, 5.0, 5.0, 0.2, 0.2, 0.2}, torch::kDouble)));
}

}  // namespace
}  // namespace adatape::nn
