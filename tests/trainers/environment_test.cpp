#include "trainers/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace adatape {
namespace {

TEST(Environment, StatesTheVersionOfTheCudaThatIsThere) {
  EXPECT_EQ(cuda_text(std::nullopt), "none");
  EXPECT_EQ(cuda_text(13000), "13.0");
  EXPECT_EQ(cuda_text(12080), "12.8");
  EXPECT_THAT(version_text(), ::testing::StartsWith("adatape "));
}

}  // namespace
}  // namespace adatape
