// What every model of THE LIST must hold, whatever it is.
#include "csrc/models/models.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "trainers/task.h"

namespace adatape {
namespace {

constexpr int64_t kLength = 10, kClasses = 2;

template <size_t... I>
std::vector<ModelConfig> every_model(std::index_sequence<I...>) {
  return {ModelConfig(std::in_place_index<I>)...};
}

std::vector<ModelConfig> list() {
  return every_model(std::make_index_sequence<std::variant_size_v<ModelConfig>>());
}

std::string name_of(const ModelConfig& config) {
  return std::visit([](const auto& c) { return std::string(c.kName); }, config);
}

Batch random_batch(int64_t size) {
  return {torch::randint(0, 3, {size, kLength}, torch::kLong),
          torch::randint(0, kClasses, {size}, torch::kLong)};
}

class EveryModel : public ::testing::TestWithParam<ModelConfig> {
 protected:
  void SetUp() override {
    torch::manual_seed(3);
    model_ = make_model(GetParam(), {kLength, 3, kClasses});
    torch::NoGradGuard no_grad;
    for (auto& p : model_->parameters()) p.add_(torch::randn_like(p) * 0.1);  // heads start at zero
  }
  std::shared_ptr<Model> model_;
};

TEST_P(EveryModel, ReturnsWhatTheTreatySays) {
  for (int64_t size : {1, 5}) {
    const Output out = model_->forward(random_batch(size));
    ASSERT_EQ(out.logits_NBK.dim(), 3);
    EXPECT_EQ(out.logits_NBK.size(1), size);
    EXPECT_EQ(out.logits_NBK.size(2), kClasses);
    EXPECT_TRUE(torch::allclose(out.weight_NB.sum(0), torch::ones({size})));
    EXPECT_EQ(out.macs_B.scalar_type(), torch::kLong);
    EXPECT_EQ(out.macs_B.sizes(), torch::IntArrayRef({size}));
    EXPECT_EQ(out.tokens_B.sizes(), torch::IntArrayRef({size}));
    EXPECT_GT(out.macs_B.min().item<int64_t>(), 0);
    EXPECT_TRUE(out.logits_NBK.isfinite().all().item<bool>());
  }
}

TEST_P(EveryModel, EveryParameterGetsAGradient) {
  const Batch batch = random_batch(8);
  Task(TaskConfig{}).loss(model_->forward(batch), batch.label_B).backward();
  for (const auto& p : model_->named_parameters()) {
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    EXPECT_GT(p.value().grad().abs().max().item<double>(), 0) << p.key();
  }
}

TEST_P(EveryModel, EvaluationIsRepeatable) {
  model_->eval();
  const Batch batch = random_batch(6);
  EXPECT_TRUE(torch::equal(model_->forward(batch).logits_NBK, model_->forward(batch).logits_NBK));
}

TEST_P(EveryModel, SameSeedSameWeights) {
  torch::manual_seed(11);
  const auto a = make_model(GetParam(), {kLength, 3, kClasses})->parameters();
  torch::manual_seed(11);
  const auto b = make_model(GetParam(), {kLength, 3, kClasses})->parameters();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i]));
}

INSTANTIATE_TEST_SUITE_P(List, EveryModel, ::testing::ValuesIn(list()),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace adatape
