// What loading accepts: every type of setting, bases, variants, overrides, and the owners' rules.
#include "csrc/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/config/example_config.h"
#include "tests/support/temporary_folder.h"

namespace adatape::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ExampleConfig read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const test::TemporaryFolder folder;
  return load<ExampleConfig>(folder.write("main.yaml", text), overrides);
}

// The messages of all problems, "line: message" each.
template <class F>
std::vector<std::string> complaints(F&& action) {
  std::vector<std::string> out;
  try {
    action();
  } catch (const Error& error) {
    for (const Problem& problem : error.problems) {
      out.push_back(std::to_string(problem.line) + ": " + problem.message);
    }
  }
  return out;
}

TEST(Load, AnEmptyFileIsTheDefaults) {
  for (const char* text : {"", "\n\n", "# nothing\n", "---\n", "\xEF\xBB\xBF", "{}", "...\n"}) {
    EXPECT_EQ(read(text), ExampleConfig{}) << text;
  }
}

TEST(Load, ReadsEveryType) {
  const ExampleConfig config = read(R"(
seed: -9223372036854775808
deterministic: false
model: {name: adatape, dim: 8, halting: {epsilon: 0.5}}
optimizer:
  lr: 1e-2
  decay: matrices
  betas: [0.5, .25]
  clip: +1.5
  milestones:
  - 1
  - 2e1
ema: {}
augment:
  - kind: crop
  - probability: 1
run: {name: 2024, tags: [010, yes, "null", 'it''s', a b]}
schedule: []
)");
  EXPECT_EQ(config.seed, std::numeric_limits<std::int64_t>::min());
  EXPECT_FALSE(config.deterministic);
  EXPECT_EQ(std::get<AdaTapeConfig>(config.model).dim, 8);
  EXPECT_EQ(std::get<AdaTapeConfig>(config.model).halting.epsilon, 0.5);
  EXPECT_EQ(config.optimizer.lr, 0.01);
  EXPECT_EQ(config.optimizer.decay, "matrices");
  EXPECT_THAT(config.optimizer.betas, ElementsAre(0.5, 0.25));
  EXPECT_EQ(config.optimizer.clip, 1.5);
  EXPECT_THAT(config.optimizer.milestones, ElementsAre(1, 20));
  EXPECT_EQ(config.ema, EmaConfig{});
  ASSERT_EQ(config.augment.size(), 2u);
  EXPECT_EQ(config.augment[0].kind, "crop");
  EXPECT_EQ(config.augment[1].probability, 1);
  EXPECT_EQ(config.run.name, "2024");
  EXPECT_THAT(config.run.tags, ElementsAre("010", "yes", "null", "it's", "a b"));
  EXPECT_THAT(config.schedule.value(), IsEmpty());
}

TEST(Load, TakesOtherLineEndingsAndAliases) {
  EXPECT_EQ(read("seed: 1\r\nrun:\r\n  name: x\r\n").run.name, "x");
  EXPECT_EQ(read("seed: 1\rrun: {name: x}\r").run.name, "x");
  EXPECT_EQ(read("run: {name: &n x, tags: [*n, *n]}\n").run.tags,
            (std::vector<std::string>{"x", "x"}));
  EXPECT_EQ(read("run:\n  name: |\n    a\n    b\n").run.name, "a\nb\n");
}

TEST(Load, ALaterFileWinsKeyByKey) {
  const test::TemporaryFolder folder;
  folder.write("base.yaml",
               "seed: 1\noptimizer: {lr: 1, milestones: [1, 2, 3]}\nema: {decay: 0.5}\n");
  folder.write("sub/middle.yaml", "base: ../base.yaml\noptimizer: {decay: matrices}\nema: null\n");
  const auto config = load<ExampleConfig>(
      folder.write("main.yaml", "base: sub/middle.yaml\noptimizer: {milestones: [4]}\n"));
  EXPECT_EQ(config.seed, 1);
  EXPECT_EQ(config.optimizer.lr, 1);
  EXPECT_EQ(config.optimizer.decay, "matrices");
  EXPECT_THAT(config.optimizer.milestones, ElementsAre(4));
  EXPECT_FALSE(config.ema);
}

TEST(Load, AVariantKeepsTheBasesKeysUnlessItsNameChanges) {
  const test::TemporaryFolder folder;
  folder.write("base.yaml", "model: {name: adatape, dim: 8, tape_length: 3}\n");
  const auto with = [&](const std::string& text, const std::vector<std::string>& overrides = {}) {
    return load<ExampleConfig>(folder.write("main.yaml", "base: base.yaml\n" + text), overrides)
        .model;
  };
  EXPECT_EQ(std::get<AdaTapeConfig>(with("model: {tape_length: 5}\n")).dim, 8);
  EXPECT_EQ(std::get<AdaTapeConfig>(with("model: {name: adatape, heads: 2}\n")).tape_length, 3);
  EXPECT_EQ(std::get<TransformerConfig>(with("model: {name: transformer, depth: 4}\n")).dim, 32);
  EXPECT_EQ(
      std::get<TransformerConfig>(with("", {"model.depth=4", "model.name=transformer"})).depth, 4);
}

TEST(Load, AVariantStartsFromItsOwnersDefaults) {
  EXPECT_EQ(std::get<AdaTapeConfig>(read("model: {name: adatape}\n").model).dim, 96);
  EXPECT_EQ(std::get<TransformerConfig>(read("model: {name: transformer}\n").model).dim, 32);
}

TEST(Load, ABaseMayLeaveTheVariantsNameToOthers) {
  const test::TemporaryFolder folder;
  folder.write("base.yaml", "model: {dim: 8}\n");
  const auto config = load<ExampleConfig>(
      folder.write("main.yaml", "base: base.yaml\nmodel: {name: transformer}\n"));
  EXPECT_EQ(std::get<TransformerConfig>(config.model).dim, 8);
}

TEST(Load, OverridesGoBeforeFiles) {
  const ExampleConfig config = read(
      "seed: 1\noptimizer: {lr: 2, decay: matrices}\nema: {decay: 0.5}\n",
      {"seed=3", "seed=4", "optimizer={lr: 5}", "optimizer.betas=[0.1, 0.2]",
       "ema=", "run.name=a=b", "model.name=transformer", "model.dim=7", "augment=[{kind: crop}]"});
  EXPECT_EQ(config.seed, 4);
  EXPECT_EQ(config.optimizer.lr, 5);
  EXPECT_EQ(config.optimizer.decay, "matrices");
  EXPECT_THAT(config.optimizer.betas, ElementsAre(0.1, 0.2));
  EXPECT_FALSE(config.ema);
  EXPECT_EQ(config.run.name, "a=b");
  EXPECT_EQ(std::get<TransformerConfig>(config.model).dim, 7);
  EXPECT_EQ(config.augment.size(), 1u);
}

TEST(Load, ReportsEveryProblemInTheOrderOfFilesAndLines) {
  const test::TemporaryFolder folder;
  folder.write("base.yaml", "sede: 1\n");
  const std::string main = folder.write(
      "main.yaml",
      "seed: x\nbase: base.yaml\nrun: {name: []}\noptimizer:\n  lr: 11\n  lr: 12\n  lx: 1\n");
  std::vector<std::string> places;
  try {
    load<ExampleConfig>(main, {"ema=3", "what"});
  } catch (const Error& error) {
    for (const Problem& problem : error.problems) {
      places.push_back(problem.file.substr(problem.file.find_last_of('/') + 1) + ":" +
                       std::to_string(problem.line));
    }
    EXPECT_THAT(error.what(), HasSubstr("\n" + main + ":3: 'run.name' is a list"));
  }
  EXPECT_THAT(places,
              ElementsAre("main.yaml:1", "main.yaml:3", "main.yaml:5", "main.yaml:6", "main.yaml:7",
                          "base.yaml:1", "command line: 'ema=3':0", "command line: 'what':0"));
}

TEST(Load, KeepsTheNumberOfReportedProblemsBounded) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "unknown_" + std::to_string(i) + ": 1\n";
  const auto problems = complaints([&] { read(text); });
  ASSERT_EQ(problems.size(), 201u);
  EXPECT_EQ(problems.back(), "0: and 4800 more problems");
}

TEST(Load, RulesSeeTheFinalValuesAndPointAtTheirKey) {
  const test::TemporaryFolder folder;
  folder.write("base.yaml", "model: {name: adatape, dim: 10, heads: 4}\n");
  const auto with = [&](const std::string& text) {
    return complaints(
        [&] { load<ExampleConfig>(folder.write("main.yaml", "base: base.yaml\n" + text)); });
  };
  EXPECT_THAT(with(""), ElementsAre("1: 'model.heads': the heads must divide dim"));
  EXPECT_THAT(with("model:\n  dim: 12\n"), IsEmpty());
  EXPECT_THAT(with("\nmodel:\n  heads: 3\n"),
              ElementsAre("4: 'model.heads': the heads must divide dim"));
  EXPECT_THAT(with("model:\n  name: transformer\n"), IsEmpty()) << "a dropped value has no rules";
  EXPECT_THAT(with("ema: {decay: 0.1}\noptimizer: {lr: 0.2}\nmodel: {dim: 8}\n"),
              ElementsAre("2: 'ema.decay': the decay is below the rate"));
}

TEST(Load, RulesWaitUntilTheirSectionIsInOrder) {
  EXPECT_THAT(complaints([] { read("model: {name: adatape, dim: 10, heads: x}\n"); }),
              ElementsAre(HasSubstr("'model.heads' is 'x'")));
}

TEST(Parse, ReadsMemoryButNoBase) {
  EXPECT_EQ(parse<ExampleConfig>("seed: 3\n", "text").seed, 3);
  try {
    parse<ExampleConfig>("seed: 3\nbase: x.yaml\nsede: 1\n", "text");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "text:2: 'base' is possible in a file only: leave it out\n"
                 "text:3: unknown key 'sede'; did you mean 'seed'?");
  }
}

}  // namespace
}  // namespace adatape::config
