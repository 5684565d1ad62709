// A configuration that uses every type of setting, shaped like the program's own, for the tests and
// the fuzzer of the loader.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "csrc/config/load.h"
#include "csrc/config/schema.h"

namespace adatape::config {

struct HaltingConfig {
  double epsilon = 0.01;
  int max_steps = 12;
  static void declare(auto& c, auto&& field) {
    field("epsilon", c.epsilon, Range{0, 1}, "an example halts past 1 - epsilon");
    field("max_steps", c.max_steps, Range{1, 1024}, "hard limit on steps");
  }
  bool operator==(const HaltingConfig&) const = default;
};

struct AdaTapeConfig {
  static constexpr const char* kName = "adatape";
  static constexpr const char* kDoc = "Reads a tape of adaptive length.";
  int dim = 64;
  int heads = 4;
  int tape_length = 8;
  HaltingConfig halting;
  static void declare(auto& c, auto&& field) {
    field("dim", c.dim, Range{1, 65536}, "width");
    field("heads", c.heads, Range{1, 1024}, "attention heads");
    field("tape_length", c.tape_length, Range{0, 1024}, "rows read at most");
    field("halting", c.halting, "when reading stops");
  }
  static void validate(const AdaTapeConfig& c, auto&& problem) {
    if (c.dim % c.heads != 0) problem("heads", "the heads must divide dim");
  }
  bool operator==(const AdaTapeConfig&) const = default;
};

struct TransformerConfig {
  static constexpr const char* kName = "transformer";
  static constexpr const char* kDoc = "Reads everything | always.";
  int dim = 32;
  int depth = 2;
  static void declare(auto& c, auto&& field) {
    field("dim", c.dim, Range{1, 65536}, "width");
    field("depth", c.depth, Range{1, 128}, "layers");
  }
  bool operator==(const TransformerConfig&) const = default;
};

struct OptimizerConfig {
  double lr = 3e-3;
  std::string decay = "all";
  std::array<double, 2> betas{0.9, 0.999};
  std::optional<double> clip;
  std::vector<int> milestones{100, 200};
  static void declare(auto& c, auto&& field) {
    field("lr", c.lr, Range{0, 10}, "peak learning rate");
    field("decay", c.decay, OneOf{"all", "matrices"}, "what weight decay applies to");
    field("betas", c.betas, HalfOpen{0, 1}, "decay of the moments");
    field("clip", c.clip, Above{0}, "largest norm of the gradient");
    field("milestones", c.milestones, Range{0, 1e6}, "steps at which the rate drops");
  }
  bool operator==(const OptimizerConfig&) const = default;
};

struct EmaConfig {
  double decay = 0.999;
  static void declare(auto& c, auto&& field) { field("decay", c.decay, HalfOpen{0, 1}, "decay"); }
  bool operator==(const EmaConfig&) const = default;
};

struct AugmentConfig {
  std::string kind = "flip";
  double probability = 0.5;
  static void declare(auto& c, auto&& field) {
    field("kind", c.kind, OneOf{"flip", "crop"}, "what is done");
    field("probability", c.probability, Range{0, 1}, "how often");
  }
  bool operator==(const AugmentConfig&) const = default;
};

struct RunConfig {
  std::string name;
  std::vector<std::string> tags;
  static void declare(auto& c, auto&& field) {
    field("name", c.name, "the run's folder");
    field("tags", c.tags, "words to find it by");
  }
  bool operator==(const RunConfig&) const = default;
};

struct NoSettings {
  static void declare(auto&, auto&&) {}
  bool operator==(const NoSettings&) const = default;
};

struct ExampleConfig {
  static AdaTapeConfig wide() {
    AdaTapeConfig model;
    model.dim = 96;
    return model;
  }
  std::int64_t seed = 0;
  bool deterministic = true;
  std::variant<AdaTapeConfig, TransformerConfig> model = wide();
  OptimizerConfig optimizer;
  std::optional<EmaConfig> ema;
  std::vector<AugmentConfig> augment;
  RunConfig run;
  std::optional<std::vector<double>> schedule;
  NoSettings nothing;
  static void declare(auto& c, auto&& field) {
    field("seed", c.seed, "seed of every random number");
    field("deterministic", c.deterministic, "same result on every run");
    field("model", c.model, "what is trained");
    field("optimizer", c.optimizer, "how it is trained");
    field("ema", c.ema, "averaged weights");
    field("augment", c.augment, "changes to the input");
    field("run", c.run, "where results go");
    field("schedule", c.schedule, Range{0, 1}, "rates to follow");
    field("nothing", c.nothing, "a section without settings");
  }
  static void validate(const ExampleConfig& c, auto&& problem) {
    if (c.ema && c.ema->decay < c.optimizer.lr) problem("ema.decay", "the decay is below the rate");
  }
  bool operator==(const ExampleConfig&) const = default;
};

}  // namespace adatape::config
