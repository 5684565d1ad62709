// Accuracy and the compute ledger over one split.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>

#include "csrc/models/model.h"
#include "datasets/loader.h"
#include "trainers/task.h"

namespace adatape {

/// mean, 50th and 95th percentile of what examples took.
struct Spread {
  double mean = 0, p50 = 0, p95 = 0;
};

struct Evaluation {
  int64_t examples = 0;
  double loss = 0;                                   ///< mean cross-entropy, without the penalty
  double accuracy = 0;                               ///< share of right predictions
  Spread macs;                                       ///< multiply-adds of the forward pass
  Spread tokens;                                     ///< rows that the last block saw
  nlohmann::json meters = nlohmann::json::object();  ///< the model's own means
  double seconds = 0;

  /// Flat numbers for metrics.jsonl and summary.json.
  nlohmann::json record() const;
};

/// Asked before each batch: whether to give up.
using Stop = std::function<bool()>;

/// Evaluates the whole split without gradients; nothing if stopped. The model's mode is as before
/// afterwards. ledger_path, if not empty, gets one line per example: example, label, prediction,
/// tokens, macs. Throws formats::IoError.
std::optional<Evaluation> evaluate(Model& model, const Task& task, Loader loader,
                                   const std::string& ledger_path = "", const Stop& stop = {});

}  // namespace adatape
