// Checkpoints: folders step-N that appear whole or not at all, each file with its digest in a
// manifest.
//   model.safetensors  optimizer.safetensors  ema.safetensors (if kept)  state.json  config.yaml
//   manifest.json
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainers/named_tensors.h"

namespace adatape {

/// What a checkpoint holds: sets of tensors ("model", "optimizer", "ema"), small state, the
/// configuration.
struct CheckpointContent {
  std::map<std::string, NamedTensors> tensors;
  nlohmann::json state;
  std::string config_yaml;
};

/// Writes `folder` (its parent must exist). Throws formats::IoError; then no folder of that name
/// exists.
void write_checkpoint(const std::string& folder, const CheckpointContent& content);

/// Checks every file against the manifest. Throws RunError(kCheckpoint) naming the file, and the
/// tensor where the damage lies in one.
void verify_checkpoint(const std::string& folder);

/// Verifies the checkpoint, then reads the sets that `into` names. Nothing is written into any
/// tensor before all files are known to be intact. Returns its state. Throws RunError(kCheckpoint).
nlohmann::json read_checkpoint(const std::string& folder,
                               const std::map<std::string, NamedTensors>& into);

/// The checkpoints step-N below `folder`, newest (highest N) first.
struct StoredCheckpoint {
  int64_t step;
  std::string folder;
};
std::vector<StoredCheckpoint> stored_checkpoints(const std::string& folder);

/// The newest intact checkpoint below `folder`; damaged ones are warned about. Nothing if there are
/// none at all; RunError(kCheckpoint) if all are damaged.
std::optional<StoredCheckpoint> newest_intact(const std::string& folder);

/// Renames the checkpoints after `step`, which are damaged, to step-N.damaged: a run that goes on
/// from `step` writes those steps anew. Throws formats::IoError.
void set_newer_aside(const std::string& folder, int64_t step);

/// The checkpoint whose step has the highest of these accuracies; of equal ones the oldest. Nothing
/// if none has one.
std::optional<StoredCheckpoint> best_checkpoint(const std::string& folder,
                                                const std::map<int64_t, double>& accuracy_of_step);

/// Removes all but the `keep` newest and the best_checkpoint.
void prune_checkpoints(const std::string& folder, int64_t keep,
                       const std::map<int64_t, double>& accuracy_of_step);

}  // namespace adatape
