#include "trainers/task.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace adatape {
namespace {

Output output(const at::Tensor& logits_NBK, const at::Tensor& weight_NB) {
  Output out;
  out.logits_NBK = logits_NBK;
  out.weight_NB = weight_NB;
  return out;
}

TEST(Task, SigmoidSumsOverClassesAndSoftmaxIsCrossEntropy) {
  const at::Tensor logits = torch::randn({1, 6, 3}, torch::kDouble),
                   label = torch::randint(0, 3, {6}, torch::kLong);
  const Output out = output(logits, torch::ones({1, 6}, torch::kDouble));
  const at::Tensor target = torch::one_hot(label, 3).to(torch::kDouble);
  const at::Tensor p = logits[0].sigmoid();
  const at::Tensor sigmoid = -(target * p.log() + (1 - target) * (1 - p).log()).sum(1).mean();
  EXPECT_TRUE(torch::allclose(Task(TaskConfig{"sigmoid"}).loss(out, label), sigmoid));
  EXPECT_TRUE(torch::allclose(Task(TaskConfig{"softmax"}).loss(out, label),
                              torch::nn::functional::cross_entropy(logits[0], label)));
}

TEST(Task, WeighsPredictionsAndAddsThePenalty) {
  const at::Tensor logits = torch::randn({2, 4, 3}, torch::kDouble),
                   label = torch::randint(0, 3, {4}, torch::kLong);
  const at::Tensor weight = torch::tensor({0.25, 0.75}, torch::kDouble).unsqueeze(1).expand({2, 4});
  Output out = output(logits, weight);
  out.penalty = torch::tensor(0.5, torch::kDouble);
  const auto ce = [&](int n) {
    return torch::nn::functional::cross_entropy(logits[n], label).item<double>();
  };
  EXPECT_NEAR(Task(TaskConfig{"softmax"}).loss(out, label).item<double>(),
              0.25 * ce(0) + 0.75 * ce(1) + 0.5, 1e-12);
}

TEST(Task, PredictsByExpectedProbability) {
  // Alone, the first prediction says class 0 barely, the second says class 1 surely.
  const at::Tensor logits = torch::tensor({0.1, 0.0, -9.0, 9.0}, torch::kDouble).view({2, 1, 2});
  const at::Tensor half = torch::full({2, 1}, 0.5, torch::kDouble);
  EXPECT_EQ(Task::predict(output(logits, half)).item<int64_t>(), 1);
  EXPECT_EQ(Task::predict(output(logits.narrow(0, 0, 1), torch::ones({1, 1}))).item<int64_t>(), 0);
}

}  // namespace
}  // namespace adatape
