#include "trainers/optimizer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace adatape {
namespace {

NamedTensors parameters() {
  torch::manual_seed(5);
  return {{"weight", torch::randn({4, 3}).requires_grad_()},
          {"bias", torch::randn({4}).requires_grad_()},
          {"cls_token", torch::randn({1, 1, 3}).requires_grad_()},
          {"unused", torch::randn({2, 2}).requires_grad_()}};
}

at::Tensor loss_of(const NamedTensors& p, int step) {
  const at::Tensor x = torch::arange(6.0).view({2, 3}) * (step + 1);
  return (torch::linear(x + p[2].tensor[0], p[0].tensor, p[1].tensor) - 1).pow(2).sum();
}

TEST(AdamW, StepsAsTorchsOwnOptimizerAfterTheClip) {
  const NamedTensors ours = parameters(), theirs = parameters();
  OptimizerConfig config;
  config.lr = 0.05;
  config.weight_decay = 0.1;
  config.clip_norm = 2;
  AdamW optimizer(config, ours);
  torch::optim::AdamW reference(tensors_of(theirs),
                                torch::optim::AdamWOptions(0.05).weight_decay(0.1).eps(1e-8));
  for (int step = 0; step < 5; ++step) {
    loss_of(ours, step).backward();
    const double norm = optimizer.grad_norm();
    optimizer.step(0.05, norm);
    optimizer.clear_gradients();
    reference.zero_grad();
    loss_of(theirs, step).backward();
    std::vector<at::Tensor> used = {theirs[0].tensor, theirs[1].tensor, theirs[2].tensor};
    EXPECT_NEAR(torch::nn::utils::clip_grad_norm_(used, 2), norm, 1e-4 * norm);
    reference.step();
  }
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(torch::allclose(ours[i].tensor, theirs[i].tensor, 1e-4, 1e-5)) << i;
}

TEST(AdamW, LeavesAParameterWithoutGradientAlone) {
  const NamedTensors p = parameters();
  const at::Tensor before = p[3].tensor.detach().clone();
  AdamW optimizer(OptimizerConfig{}, p);
  loss_of(p, 0).backward();
  optimizer.step(0.1, optimizer.grad_norm());
  EXPECT_TRUE(torch::equal(p[3].tensor, before));
  EXPECT_FALSE(p[0].tensor.grad().equal(torch::zeros_like(p[0].tensor)));
}

TEST(AdamW, DecaysMatricesOnlyIfToldSo) {
  const NamedTensors p = parameters();
  OptimizerConfig config;
  config.decay = "matrices";
  config.weight_decay = 0.5;
  AdamW optimizer(config, p);
  std::vector<at::Tensor> before;
  for (const NamedTensor& n : p) {
    before.push_back(n.tensor.detach().clone());
    n.tensor.mutable_grad() = torch::zeros_like(n.tensor);
  }
  optimizer.step(0.1, 0);
  EXPECT_TRUE(torch::allclose(p[0].tensor, before[0] * 0.95));
  EXPECT_TRUE(torch::equal(p[1].tensor, before[1]));
  EXPECT_TRUE(torch::equal(p[2].tensor, before[2]));
  EXPECT_TRUE(torch::allclose(p[3].tensor, before[3] * 0.95));
}

TEST(AdamW, SeesGradientsThatAreNotFinite) {
  const NamedTensors p = parameters();
  AdamW optimizer(OptimizerConfig{}, p);
  EXPECT_EQ(optimizer.grad_norm(), 0);
  p[0].tensor.mutable_grad() = torch::full({4, 3}, std::nan(""));
  EXPECT_FALSE(std::isfinite(optimizer.grad_norm()));
}

TEST(Ema, FollowsTheWeightsAndSwaps) {
  NamedTensors weights = {{"w", torch::zeros({3})}};
  Ema ema(EmaConfig{0.75}, weights);
  weights[0].tensor.fill_(4);
  ema.update();
  EXPECT_TRUE(torch::equal(ema.weights()[0].tensor, torch::full({3}, 1.0f)));
  ema.swap();
  EXPECT_TRUE(torch::equal(weights[0].tensor, torch::full({3}, 1.0f)));
  ema.swap();
  EXPECT_TRUE(torch::equal(weights[0].tensor, torch::full({3}, 4.0f)));
}

}  // namespace
}  // namespace adatape
