#pragma once

#include <cstdint>
#include <string>

#include "csrc/config/schema.h"

namespace adatape {

/// Strings of 1, 0 and -1; the label says whether the number of ones is odd [adatape §3, baselines
/// §7].
struct ParityConfig {
  static constexpr const char* kName = "parity";
  static constexpr const char* kDoc =
      "generated strings of 1, 0 and -1; the label is the parity of the number of ones";
  using Dataset = class Parity;

  int64_t length = 16;
  std::string generator = "iid_uniform";
  int64_t train_examples = 64000;
  int64_t evaluation_examples = 6400;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("length", c.length, Range{1, 1048576}, "symbols in a string");
    field("generator", c.generator, OneOf{"iid_uniform", "random_count"},
          "iid_uniform: every symbol uniform (AdaTape); random_count: a uniform number of signs at "
          "random places, "
          "zero elsewhere (ACT, PonderNet)");
    field("train_examples", c.train_examples, Range{1, 1e12},
          "what counts as an epoch; strings never repeat");
    field("evaluation_examples", c.evaluation_examples, Range{1, 1e9},
          "strings of the evaluation set");
  }
};

}  // namespace adatape
