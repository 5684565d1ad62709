// AdaTape's parity form against an independent float64 implementation: values and every gradient.
#include "csrc/models/adatape.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "trainers/task.h"

namespace adatape {
namespace {

AdaTapeConfig config_of(const nlohmann::json& a) {
  AdaTapeConfig config;
  config.encoder = {a.at("dim"), a.at("layers"), a.at("heads"),
                    a.at("mlp"), a.at("gelu"),   a.at("ln_eps")};
  config.tape.max_tokens = a.at("max_tokens");
  config.tape.threshold = a.at("threshold");
  config.tape.penalty = a.at("penalty");
  config.tape.penalty_weight = a.at("penalty_weight");
  config.tape.average_query = a.at("complex_query");
  config.tape.query = a.at("query");
  config.tape.insert_at = a.at("insert_at");
  config.tape.insert_mlp = a.at("insert_mlp");
  config.tape.layer_ffn = a.at("layer_ffn");
  config.cls_token = a.at("cls_token");
  config.pool = a.at("pool");
  return config;
}

void load(AdaTape& model, const test::GoldenCase& golden, torch::ScalarType type) {
  model.to(type);
  auto parameters = model.named_parameters();
  ASSERT_EQ(parameters.size(), golden.parameters.size());
  torch::NoGradGuard no_grad;
  for (const std::string& name : golden.parameters) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    parameters[name].copy_(golden.tensors.at(name));
  }
}

void check(const test::GoldenCase& golden, torch::ScalarType type,
           const std::string& tolerance_name) {
  SCOPED_TRACE(golden.name + " " + tolerance_name);
  const auto& t = golden.tensors;
  const nlohmann::json& tolerance = golden.tolerance.at(tolerance_name);
  const torch::Tensor symbols = t.at("input") + 1;
  AdaTape model(config_of(golden.attributes),
                {symbols.size(1), 3, golden.attributes.at("classes")});
  load(model, golden, type);

  const Batch batch{symbols, t.at("labels")};
  const Output output = model.forward(batch);
  const torch::Tensor loss =
      Task(TaskConfig{golden.attributes.at("loss")}).loss(output, batch.label_B);
  loss.backward();

  const ops::TapeSelection& read = *output.selection;
  const std::map<std::string, torch::Tensor> results = {
      {"logits", output.logits_NBK[0]}, {"loss", loss},
      {"penalty", read.ponder_B},       {"length", read.length_B},
      {"tape_index", read.index_BTK},   {"tape_weight", read.weight_BTK}};
  for (const std::string& name : golden.outputs)
    test::expect_close(results.at(name), t.at(name), tolerance, name);
  for (const auto& p : model.named_parameters()) {
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    test::expect_close(p.value().grad(), t.at("grad." + p.key()), tolerance, "grad." + p.key());
  }
}

TEST(AdaTapeGolden, ValuesAndGradients) {
  const auto cases = test::golden_models("adatape_parity");
  ASSERT_FALSE(cases.empty()) << test::golden_folder();
  for (const test::GoldenCase& golden : cases) {
    check(golden, torch::kDouble, "float64");
    check(golden, torch::kFloat, "float32");
  }
}

}  // namespace
}  // namespace adatape
