// The packed model against its masked form, in float64: values and all gradients, over the options.
#include "csrc/models/adatape.h"

#include <gtest/gtest.h>

#include "csrc/models/models.h"
#include "tests/models/masked_adatape.h"

namespace adatape {
namespace {

struct Case {
  const char* name;
  void (*change)(AdaTapeConfig&);
  int64_t length = 12;
  double spread = 1;  // of the bank's symbols: large, so that examples halt at different steps
};

AdaTapeConfig small() {
  AdaTapeConfig config;
  config.encoder = {24, 3, 3, 20, "tanh", 1e-6};
  config.tape.max_tokens = 6;
  config.tape.threshold = 2;
  return config;
}

std::shared_ptr<AdaTape> random_model(const AdaTapeConfig& config, int64_t length, double spread) {
  torch::manual_seed(7);
  auto model = std::make_shared<AdaTape>(config, InputSpec{length, 3, 2});
  model->to(torch::kDouble);
  torch::NoGradGuard no_grad;
  for (auto& p : model->named_parameters()) {
    const double scale = p.key().find("tape.norm.weight") != std::string::npos ? spread : 0.3;
    p.value().normal_(0, scale);
  }
  return model;
}

std::vector<torch::Tensor> gradients(const torch::Tensor& logits, const torch::Tensor& ponder,
                                     AdaTape& model) {
  model.zero_grad();
  const torch::Tensor direction =
      torch::arange(double(logits.numel()), torch::kDouble).view_as(logits).cos();
  ((logits * direction).sum() + 0.3 * (ponder * ponder).sum()).backward();
  std::vector<torch::Tensor> grads;
  for (const auto& p : model.parameters())
    grads.push_back(p.grad().defined() ? p.grad().clone() : torch::zeros_like(p));
  return grads;
}

class AdaTapeMasked : public ::testing::TestWithParam<Case> {};

TEST_P(AdaTapeMasked, SameValuesAndGradients) {
  AdaTapeConfig config = small();
  GetParam().change(config);
  auto model = random_model(config, GetParam().length, GetParam().spread);
  const torch::Tensor symbols = torch::randint(0, 3, {17, GetParam().length}, torch::kLong);
  const Output packed = model->forward({symbols, torch::zeros({17}, torch::kLong)});
  const auto masked = test::MaskedAdaTape(config, model->named_parameters()).forward(symbols, 3);

  EXPECT_TRUE(torch::equal(packed.selection->length_B.to(torch::kLong), masked.length_B));
  EXPECT_TRUE(torch::allclose(packed.logits_NBK[0], masked.logits_BK, 1e-10, 1e-12));
  EXPECT_TRUE(torch::allclose(packed.selection->ponder_B, masked.ponder_B, 1e-10, 1e-12));
  const auto packed_grads = gradients(packed.logits_NBK[0], packed.selection->ponder_B, *model);
  const auto masked_grads = gradients(masked.logits_BK, masked.ponder_B, *model);
  const auto names = model->named_parameters().keys();
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_TRUE(torch::allclose(packed_grads[i], masked_grads[i], 1e-8, 1e-10)) << names[i];
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, AdaTapeMasked,
    ::testing::Values(
        Case{"defaults", [](AdaTapeConfig&) {}},
        Case{"mixed_lengths", [](AdaTapeConfig&) {}, 40, 6.0},
        Case{"pool_cls", [](AdaTapeConfig& c) { c.pool = "cls"; }, 20, 4.0},
        Case{"pool_base_mean", [](AdaTapeConfig& c) { c.pool = "base_mean"; }, 20, 4.0},
        Case{"query_cls", [](AdaTapeConfig& c) { c.tape.query = "cls"; }, 20, 4.0},
        Case{"no_cls", [](AdaTapeConfig& c) { c.cls_token = false; }, 20, 4.0},
        Case{"insert_first", [](AdaTapeConfig& c) { c.tape.insert_at = 0; }, 20, 4.0},
        Case{"insert_last",
             [](AdaTapeConfig& c) {
               c.tape.insert_at = 2;
               c.pool = "cls";
             },
             20, 4.0},
        Case{"insert_mlp", [](AdaTapeConfig& c) { c.tape.insert_mlp = 10; }, 20, 4.0},
        Case{"layer_ffn", [](AdaTapeConfig& c) { c.tape.layer_ffn = 14; }, 20, 4.0},
        Case{"layer_ffn_cls",
             [](AdaTapeConfig& c) {
               c.tape.layer_ffn = 14;
               c.pool = "cls";
             },
             20, 4.0},
        Case{"erf_gelu", [](AdaTapeConfig& c) { c.encoder.gelu = "erf"; }},
        Case{"penalty_max", [](AdaTapeConfig& c) { c.tape.penalty = "max"; }, 20, 4.0},
        Case{"plain_query", [](AdaTapeConfig& c) { c.tape.average_query = false; }, 20, 4.0},
        Case{"one_row_a_step", [](AdaTapeConfig& c) { c.tape.threshold = 6; }},
        Case{"exhausted", [](AdaTapeConfig&) {}, 4},
        Case{"not_divisible", [](AdaTapeConfig& c) { c.tape.threshold = 2.5; }, 21, 4.0},
        Case{"static", [](AdaTapeConfig& c) { c.tape.reading = "static"; }},
        Case{"static_short_bank", [](AdaTapeConfig& c) { c.tape.reading = "static"; }, 4}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(AdaTape, ExamplesDoNotSeeTheirBatchMates) {
  auto model = random_model(small(), 30, 5.0);
  model->to(torch::kFloat);
  const torch::Tensor symbols = torch::randint(0, 3, {9, 30}, torch::kLong);
  const torch::Tensor labels = torch::zeros({9}, torch::kLong);
  torch::NoGradGuard no_grad;
  const torch::Tensor all = model->forward({symbols, labels}).logits_NBK[0];
  const torch::Tensor order = torch::tensor({4, 0, 0, 8}, torch::kLong);
  const torch::Tensor some =
      model->forward({symbols.index_select(0, order), labels.narrow(0, 0, 4)}).logits_NBK[0];
  // Matrix products may round differently at another number of rows; the rows' order must not
  // matter at all.
  EXPECT_TRUE(torch::allclose(some, all.index_select(0, order), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(some[1], some[2]));
}

TEST(AdaTape, LedgerCountsTheRowsThatRan) {
  AdaTapeConfig config = small();
  auto model = random_model(config, 40, 6.0);
  const torch::Tensor symbols = torch::randint(0, 3, {17, 40}, torch::kLong);
  const Output out = model->forward({symbols, torch::zeros({17}, torch::kLong)});
  const torch::Tensor length = out.selection->length_B.to(torch::kLong);
  ASSERT_GT(length.max().item<int64_t>(), length.min().item<int64_t>());
  const int64_t D = 24, M = 20, K = 3, C = 8, N = 40;
  for (int64_t b = 0; b < 17; ++b) {
    const int64_t n = length[b].item<int64_t>(), r = 2 + n;
    int64_t scored = 0;
    for (int64_t t = 0; t < n; ++t) scored += N - t * K;
    const auto block = [&](int64_t rows) {
      return 4 * rows * D * D + 2 * rows * rows * D + 2 * rows * D * M;
    };
    const int64_t expected =
        3 * N * D + block(2) + 2 * block(r) + scored * C + n * K * (D + C) + D * 2;
    EXPECT_EQ(out.macs_B[b].item<int64_t>(), expected) << b;
    EXPECT_EQ(out.tokens_B[b].item<int64_t>(), r);
  }
}

}  // namespace
}  // namespace adatape
