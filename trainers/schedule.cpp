#include "trainers/schedule.h"

#include <cmath>
#include <numbers>

namespace adatape {

double learning_rate(const ScheduleConfig& config, double peak, int64_t step, int64_t steps) {
  if (step < config.warmup_steps) return peak * double(step + 1) / double(config.warmup_steps);
  const double done = double(step - config.warmup_steps) / double(steps - config.warmup_steps);
  return config.final_lr + (peak - config.final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace adatape
