#include "csrc/log/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace adatape::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// A progress with a clock and a width that the test sets, and a record of what it drew.
struct Screen {
  std::vector<std::string> pieces;
  double now = 100;
  int width = 100;
  Console console{[this](std::string_view text) { pieces.emplace_back(text); }};

  ProgressOptions options(int64_t start = 0, int64_t every = 10) {
    return {start, every, &console, [this] { return now; }, [this] { return width; }};
  }
};

const Progress::Fields kFields{{"loss", "0.693"}, {"accuracy", "51.2%"}, {"tape", "4.0"}};

TEST(Progress, DrawsOneLineInPlaceOnATerminal) {
  Screen screen;
  Progress progress(8000, true, screen.options());
  screen.now += 10;
  progress.update(2000, kFields, 3200);
  ASSERT_EQ(screen.pieces.size(), 1U);
  EXPECT_EQ(screen.pieces[0],
            "\r\x1b[K2000/8000 [====>            ]  25%  loss 0.693  accuracy 51.2%  tape "
            "4.0  3200 examples/s  ETA 0:30");
}

TEST(Progress, RedrawsAtMostTenTimesASecondButAlwaysAtTheEnd) {
  Screen screen;
  Progress progress(1000, true, screen.options());
  for (int step = 1; step <= 1000; ++step) {
    progress.update(step, kFields, 3200);
    screen.now += 0.001;
  }
  EXPECT_GE(screen.pieces.size(), 10U);
  EXPECT_LE(screen.pieces.size(), 11U);
  EXPECT_THAT(screen.pieces.back(), HasSubstr("1000/1000"));
  EXPECT_THAT(screen.pieces.back(), HasSubstr("took 0:00"));
}

TEST(Progress, LeavesTheBarBehindOnce) {
  Screen screen;
  {
    Progress progress(10, true, screen.options());
    progress.update(10, {}, 0);
    progress.finish();
  }
  EXPECT_EQ(screen.pieces.size(), 2U);
  EXPECT_EQ(screen.pieces[1], "\n");
}

TEST(Progress, StepsAsideForOtherLines) {
  Screen screen;
  Progress progress(10, true, screen.options());
  progress.update(5, {}, 0);
  const std::string bar = screen.pieces[0].substr(4);
  screen.console.line("warning: slow");
  EXPECT_EQ(screen.pieces[1], "\r\x1b[Kwarning: slow\n" + bar);
}

TEST(Progress, PrintsPlainLinesOffATerminal) {
  Screen screen;
  Progress progress(25, false, screen.options());
  for (int step = 1; step <= 25; ++step) {
    screen.now += 1;
    progress.update(step, {{"loss", "0.5"}}, 256);
  }
  progress.finish();
  EXPECT_THAT(screen.pieces, ElementsAre("step 10/25  loss 0.5  256 examples/s  ETA 0:15\n",
                                         "step 20/25  loss 0.5  256 examples/s  ETA 0:05\n",
                                         "step 25/25  loss 0.5  256 examples/s  took 0:25\n"));
}

TEST(Progress, PrintsWhenAMultipleIsPassed) {
  Screen screen;
  Progress progress(100, false, screen.options());
  for (int step = 0; step <= 100; step += 7) progress.update(step, {}, 0);
  EXPECT_EQ(screen.pieces.size(), 9U);  // 14 21 35 42 56 63 70 84 91
  EXPECT_THAT(screen.pieces[0], HasSubstr("step 14/100"));
}

TEST(Progress, CountsOnlyNewStepsForTheTimeLeft) {
  Screen screen;
  Progress progress(1100, false, screen.options(1000, 50));
  screen.now += 50;
  progress.update(1050, {}, 0);
  EXPECT_THAT(screen.pieces, ElementsAre("step 1050/1100  ETA 0:50\n"));
}

TEST(Progress, DoesWithoutATotal) {
  Screen screen;
  Progress progress(0, true, screen.options());
  screen.now += 1;
  progress.update(7, {{"loss", "1"}}, 50);
  EXPECT_EQ(screen.pieces[0], "\r\x1b[K7  loss 1  50 examples/s");
}

TEST(Progress, LeavesOutARateThatIsNone) {
  Screen screen;
  Progress progress(0, true, screen.options());
  for (const double rate : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                            std::numeric_limits<double>::infinity()}) {
    screen.now += 1;
    progress.update(7, {}, rate);
    EXPECT_EQ(screen.pieces.back(), "\r\x1b[K7");
  }
}

TEST(Progress, ShortensRates) {
  Screen screen;
  Progress progress(0, true, screen.options());
  const std::vector<std::pair<double, std::string>> cases{{0.25, "0.2 "},    {9.96, "10.0 "},
                                                          {512.4, "512 "},   {9999, "9999 "},
                                                          {12345, "12.3k "}, {2.5e6, "2.5M "}};
  for (const auto& [rate, text] : cases) {
    screen.now += 1;
    progress.update(7, {}, rate);
    EXPECT_EQ(screen.pieces.back(), "\r\x1b[K7  " + text + "examples/s");
  }
}

TEST(Progress, FollowsTheWidthOfTheTerminal) {
  Screen screen;
  Progress progress(1000, true, screen.options());
  for (int width = 1; width < 200; ++width) {
    screen.width = width;
    screen.now += 1;
    progress.update(500, {{"loss", "0.7"}, {"träge", "½"}}, 3200);
    std::string shown = screen.pieces.back().substr(4);
    size_t characters = 0;
    for (const char byte : shown) characters += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    EXPECT_LE(characters, static_cast<size_t>(std::max(width - 1, 1))) << shown;
    if (width >= 9) {
      EXPECT_THAT(shown, HasSubstr("500/1000"));
    }
  }
  EXPECT_THAT(screen.pieces.back(), HasSubstr("[===============>              ]  50%"));
}

TEST(BarText, DropsTheBarThenTheLastParts) {
  const std::vector<std::string> parts{"loss 0.693", "tape 4.0"};
  EXPECT_EQ(bar_text(5, 10, parts, "ETA 0:05", 60),
            "5/10 [========>       ]  50%  loss 0.693  tape 4.0  ETA 0:05");
  EXPECT_EQ(bar_text(5, 10, parts, "ETA 0:05", 53), "5/10  loss 0.693  tape 4.0  ETA 0:05");
  EXPECT_EQ(bar_text(5, 10, parts, "ETA 0:05", 35), "5/10  loss 0.693  ETA 0:05");
  EXPECT_EQ(bar_text(5, 10, parts, "ETA 0:05", 20), "5/10  ETA 0:05");
  EXPECT_EQ(bar_text(5, 10, parts, "ETA 0:05", 3), "5/1");
}

TEST(BarText, StaysWithinItsBoundsBeyondTheEnds) {
  EXPECT_THAT(bar_text(20, 10, {}, "", 80), HasSubstr("[==============================] 100%"));
  EXPECT_THAT(bar_text(-1, 10, {}, "", 80), HasSubstr("[>                             ]   0%"));
  EXPECT_THAT(bar_text(9999, 10000, {}, "", 80), Not(HasSubstr("100%")));
}

TEST(DurationText, ReadsAsAClock) {
  EXPECT_EQ(duration_text(0), "0:00");
  EXPECT_EQ(duration_text(59.9), "0:59");
  EXPECT_EQ(duration_text(187), "3:07");
  EXPECT_EQ(duration_text(7387), "2:03:07");
  EXPECT_EQ(duration_text(48 * 3600 - 1), "47:59:59");
  EXPECT_EQ(duration_text(50 * 3600), "2d 2h");
  EXPECT_EQ(duration_text(-5), "0:00");
  EXPECT_EQ(duration_text(1e300), duration_text(1e12));
}

}  // namespace
}  // namespace adatape::log
