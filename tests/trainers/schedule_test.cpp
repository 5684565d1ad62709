#include "trainers/schedule.h"

#include <gtest/gtest.h>

namespace adatape {
namespace {

TEST(Schedule, RisesLinearlyThenFallsAlongHalfACosine) {
  ScheduleConfig config;
  config.warmup_steps = 4;
  config.final_lr = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, 0, 104), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, 3, 104), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, 4, 104), 2.0);
  EXPECT_NEAR(learning_rate(config, 2.0, 54, 104), 1.05, 1e-12);
  EXPECT_NEAR(learning_rate(config, 2.0, 104, 104), 0.1, 1e-12);
}

TEST(Schedule, WithoutWarmupStartsAtThePeak) {
  ScheduleConfig config;
  config.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(learning_rate(config, 3.0, 0, 10), 3.0);
}

}  // namespace
}  // namespace adatape
