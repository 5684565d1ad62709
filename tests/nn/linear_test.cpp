#include "csrc/nn/linear.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace adatape::nn {
namespace {

/// Value and gradients against float64, no worse than twice torch's own float32.
void compare(int64_t rows, int64_t in, int64_t out, bool strided) {
  torch::manual_seed(rows + in);
  torch::Tensor x = torch::randn({rows, strided ? 2 * in : in});
  if (strided) x = x.narrow(1, 0, in);
  const torch::Tensor weight = torch::randn({out, in}), bias = torch::randn({out}),
                      upstream = torch::randn({rows, out});
  const auto run = [&](torch::ScalarType type, bool ours) {
    std::vector<torch::Tensor> leaves;
    for (const torch::Tensor& t : {x, weight, bias})
      leaves.push_back(t.to(type).detach().clone().requires_grad_());
    const torch::Tensor y = ours ? linear(leaves[0], leaves[1], leaves[2])
                                 : torch::linear(leaves[0], leaves[1], leaves[2]);
    (y * upstream.to(type)).sum().backward();
    return std::vector<torch::Tensor>{y.detach(), leaves[0].grad(), leaves[1].grad(),
                                      leaves[2].grad()};
  };
  const auto exact = run(torch::kDouble, false), torchs = run(torch::kFloat, false),
             ours = run(torch::kFloat, true);
  for (size_t i = 0; i < exact.size(); ++i) {
    if (exact[i].numel() == 0) continue;
    const auto error = [&](const torch::Tensor& t) {
      return (t.to(torch::kDouble) - exact[i]).abs().max().item<double>();
    };
    EXPECT_LE(error(ours[i]), 2 * error(torchs[i]) + 1e-6 * exact[i].abs().max().item<double>())
        << i << " rows " << rows;
  }
}

TEST(Linear, AgreesWithTorchInValueAndGradient) {
  for (int64_t rows : {0, 1, 2, 31, 257, 1000}) {
    compare(rows, 64, 192, false);
    compare(rows, 33, 7, true);
  }
}

TEST(Linear, TakesOtherTypesToTorch) {
  const torch::Tensor x = torch::randn({4, 8}, torch::kDouble),
                      w = torch::randn({3, 8}, torch::kDouble),
                      b = torch::randn({3}, torch::kDouble);
  EXPECT_TRUE(torch::equal(linear(x, w, b), torch::linear(x, w, b)));
}

}  // namespace
}  // namespace adatape::nn
