#include "trainers/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace adatape {
namespace {

TEST(Text, FixedHasNoSignOnWhatIsNoNumber) {
  EXPECT_EQ(fixed(1.25, 1), "1.2");
  EXPECT_EQ(fixed(-3, 0), "-3");
  EXPECT_EQ(fixed(std::copysign(std::nan(""), -1.0), 4), "nan");
  EXPECT_EQ(fixed(-std::numeric_limits<double>::infinity(), 4), "-inf");
  EXPECT_EQ(fixed(std::numeric_limits<double>::max(), 4).size(), 314u);
}

TEST(Text, CountedIsPluralButForOne) {
  EXPECT_EQ(counted(1, "thread"), "1 thread");
  EXPECT_EQ(counted(0, "thread"), "0 threads");
  EXPECT_EQ(counted(16, "thread"), "16 threads");
}

}  // namespace
}  // namespace adatape
