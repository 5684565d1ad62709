// Settings of adaptive tape reading.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "csrc/config/schema.h"

namespace adatape {

struct TapeConfig {
  std::string reading = "adaptive";
  int64_t max_tokens = 8;
  double threshold = 2;
  std::string penalty = "gini";
  double penalty_weight = 0.01;
  bool average_query = true;
  std::string query = "mean";
  int64_t insert_at = 1;
  int64_t insert_mlp = 0;
  int64_t layer_ffn = 0;

  /// K, bank rows merged in one step: floor(max_tokens / threshold) in double.
  int64_t merge() const { return int64_t(std::floor(double(max_tokens) / threshold)); }

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("reading", c.reading, OneOf{"adaptive", "static"},
          "adaptive: as many tape tokens as an example needs; static: always max_tokens, the best "
          "bank rows unmerged");
    field("max_tokens", c.max_tokens, Range{1, 65536}, "most tape tokens of an example (T)");
    field("threshold", c.threshold, Range{1, 65536},
          "an example stops reading when its summed top weights reach this; merge is "
          "floor(max_tokens / threshold)");
    field("penalty", c.penalty, OneOf{"gini", "max"},
          "ponder of a step: gini 1 - sum of squared weights, or max 1 - largest weight");
    field("penalty_weight", c.penalty_weight, Range{0, 1e6},
          "weight of the mean ponder in the loss");
    field("average_query", c.average_query,
          "next query is the mean of query and token read, else the token alone");
    field("query", c.query, OneOf{"mean", "cls"},
          "first query: mean of the base rows, or the class token");
    field("insert_at", c.insert_at, Range{0, 1024},
          "the tape is read before this block and joins from it on");
    field("insert_mlp", c.insert_mlp, Range{0, 1048576},
          "width of a GLU network on the tape before it joins; 0: none");
    field("layer_ffn", c.layer_ffn, Range{0, 1048576},
          "width of a GLU feed-forward network of the tape's own in each block; 0: shared with the "
          "base rows");
  }
  static void validate(const TapeConfig& c, auto&& problem) {
    if (c.threshold > double(c.max_tokens)) {
      problem("threshold", "exceeds max_tokens " + std::to_string(c.max_tokens) +
                               ", so an example could never halt");
    }
  }
};

}  // namespace adatape
