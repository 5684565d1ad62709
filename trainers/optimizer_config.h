#pragma once

#include <string>

#include "csrc/config/schema.h"

namespace adatape {

/// AdamW with decoupled weight decay, and the clip of the global gradient norm before it.
struct OptimizerConfig {
  double lr = 3e-3;
  double weight_decay = 0.01;
  std::string decay = "all";
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double clip_norm = 1;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("lr", c.lr, Range{0, 1e3}, "peak learning rate");
    field("weight_decay", c.weight_decay, Range{0, 1e3},
          "decoupled: a step takes lr * weight_decay off a weight");
    field("decay", c.decay, OneOf{"all", "matrices"},
          "what decays: all parameters (AdaTape's recipe), or matrices only (DeiT's: no biases, "
          "norms, tokens)");
    field("beta1", c.beta1, HalfOpen{0, 1}, "decay of the gradient's running mean");
    field("beta2", c.beta2, HalfOpen{0, 1}, "decay of the squared gradient's running mean");
    field("eps", c.eps, Above{0, 1}, "added to the root of the squared gradient's mean");
    field("clip_norm", c.clip_norm, Range{0, 1e9}, "largest global gradient norm; 0: no clip");
  }
};

/// Linear warm-up, then half a cosine.
struct ScheduleConfig {
  int64_t warmup_steps = 200;
  double final_lr = 0;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("warmup_steps", c.warmup_steps, Range{0, 1e12},
          "steps over which the rate rises linearly to lr");
    field("final_lr", c.final_lr, Range{0, 1e3}, "where the cosine ends, at loop.steps");
  }
};

/// Exponential moving average of the weights, evaluated beside them.
struct EmaConfig {
  double decay = 0;

  static void declare(auto& c, auto&& field) {
    field("decay", c.decay, config::HalfOpen{0, 1},
          "share of the average kept at each step; 0: no average");
  }
};

}  // namespace adatape
