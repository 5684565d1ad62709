// `adatape train`: a run from its configuration to its summary, through evaluations, checkpoints
// and signals.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

#include "trainers/run_config.h"

namespace adatape {

/// Trains in the run's folder, or goes on there. Returns summary.json's content. Throws RunError:
/// kPreempted after a signal (state saved), kDiverged, kCheckpoint, kUsage.
nlohmann::json train(RunConfig config, const std::string& config_path);

}  // namespace adatape
