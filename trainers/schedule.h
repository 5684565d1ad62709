// The learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "trainers/optimizer_config.h"

namespace adatape {

/// Rate of step `step` (0-based) of `steps`: linear from peak / warmup to peak, then a half cosine
/// to final_lr.
double learning_rate(const ScheduleConfig& config, double peak, int64_t step, int64_t steps);

}  // namespace adatape
