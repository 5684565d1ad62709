// AdamW in torch's fused kernel, and the moving average of the weights.
#pragma once

#include <vector>

#include "trainers/named_tensors.h"
#include "trainers/optimizer_config.h"

namespace adatape {

/// Steps all parameters that have a gradient; the others (unused by this batch) stay, with their
/// state.
class AdamW {
 public:
  AdamW(const OptimizerConfig& config, const NamedTensors& parameters);

  /// Global norm of the gradients, not finite if any of them is not.
  double grad_norm() const;

  /// One update at this rate. grad_norm is grad_norm()'s value: gradients are scaled by
  /// min(1, clip_norm / grad_norm) inside the fused call.
  void step(double lr, double grad_norm);

  /// Forgets the gradients.
  void clear_gradients();

  /// exp_avg.<p>, exp_avg_sq.<p> and step.<p> of every parameter p; writing into them restores a
  /// state.
  NamedTensors state() const;

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter, mean, square, steps;
    bool decays;
  };
  void step_group(bool decays, double lr, const std::optional<at::Tensor>& scale);

  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

/// ema <- decay * ema + (1 - decay) * weights.
class Ema {
 public:
  /// Starts as a copy of the weights.
  Ema(const EmaConfig& config, const NamedTensors& weights);
  void update();
  const NamedTensors& weights() const { return average_; }
  /// Exchanges averages and weights: once to evaluate the averages, once more to go on.
  void swap();

 private:
  double decay_;
  NamedTensors source_, average_;
};

}  // namespace adatape
