// Classification: one loss and one set of metrics for every model.
#pragma once

#include "csrc/models/model.h"
#include "trainers/run_config.h"

namespace adatape {

/// loss = mean_b sum_n weight[n, b] * cross_entropy(logits[n, b], label[b]) + penalty.
class Task {
 public:
  explicit Task(const TaskConfig& config) : config_(config) {}

  /// Cross-entropy of each example, without the penalty: [B].
  at::Tensor example_loss(const Output& output, const at::Tensor& label_B) const;

  /// The scalar to differentiate.
  at::Tensor loss(const Output& output, const at::Tensor& label_B) const;

  /// int64 [B]: the class of the highest expected probability.
  static at::Tensor predict(const Output& output);

 private:
  TaskConfig config_;
};

}  // namespace adatape
