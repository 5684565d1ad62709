// The one training loop. Variation is data: the model, the dataset and the task come from the
// configuration.
#pragma once

#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>

#include "csrc/models/models.h"
#include "datasets/datasets.h"
#include "datasets/loader.h"
#include "trainers/checkpoint.h"
#include "trainers/evaluation.h"
#include "trainers/means.h"
#include "trainers/optimizer.h"
#include "trainers/run_config.h"
#include "trainers/run_log.h"
#include "trainers/task.h"

namespace adatape {

/// What one optimiser step saw, over all its accumulated batches.
struct StepResult {
  double loss = 0;  ///< mean, penalty included
  double grad_norm = 0;
  double lr = 0;
  bool skipped = false;  ///< loss or gradient was not finite: no update
  int64_t examples = 0;
  int64_t right = 0, macs = 0, tokens = 0;  ///< sums over the examples
  Means meters;

  double mean(int64_t sum) const { return double(sum) / double(examples); }
};

class Trainer {
 public:
  /// Builds everything from the configuration. Weights are drawn from its seed.
  explicit Trainer(const RunConfig& config);

  /// The next optimiser step: fetch, forward, backward, update.
  StepResult step();

  /// Optimiser steps done.
  int64_t position() const { return step_; }

  /// Nothing if stopped.
  std::optional<Evaluation> evaluate(const Stop& stop = {});
  /// The averaged weights' evaluation; nothing if none are kept, or if stopped.
  std::optional<Evaluation> evaluate_ema(const Stop& stop = {});

  /// All that a resumed run needs to go on bit for bit. `progress` is kept with it.
  void save(const std::string& folder, const nlohmann::json& progress) const;
  /// Returns the progress stored with the checkpoint. Throws RunError(kCheckpoint).
  nlohmann::json restore(const std::string& folder);

  const RunConfig& config() const { return config_; }
  Model& model() { return *model_; }
  const Dataset& dataset() const { return *dataset_; }
  int64_t parameters() const;

 private:
  std::map<std::string, NamedTensors> tensor_sets() const;

  RunConfig config_;
  std::unique_ptr<Dataset> dataset_;
  Loader loader_;
  std::shared_ptr<Model> model_;
  Task task_;
  AdamW optimizer_;
  std::optional<Ema> ema_;
  int64_t step_ = 0;
};

}  // namespace adatape
