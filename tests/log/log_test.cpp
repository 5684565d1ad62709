#include "csrc/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "csrc/log/console.h"
#include "tests/support/temporary_folder.h"

namespace adatape::log {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Log : public ::testing::Test {
 protected:
  void TearDown() override {
    set_rank(0);
    close();
  }

  template <typename Action>
  static std::string stderr_of(Action action) {
    ::testing::internal::CaptureStderr();
    action();
    return ::testing::internal::GetCapturedStderr();
  }

  std::vector<std::string> file_lines() const {
    std::istringstream in(test::read_bytes(file_));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  test::TemporaryFolder folder_;
  const std::string file_ = folder_ / "log.txt";
};

TEST_F(Log, GoesToStderrBeforeItIsOpened) {
  EXPECT_EQ(stderr_of([] {
              info("plain");
              warn("look out");
              error("broken");
            }),
            "plain\nwarning: look out\nerror: broken\n");
}

TEST_F(Log, GivesTheFileTimeAndLevel) {
  const std::string shown = stderr_of([&] {
    open(file_);
    info("plain");
    warn("look out");
    error("broken");
  });
  EXPECT_EQ(shown, "plain\nwarning: look out\nerror: broken\n");
  const std::string time = "[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+[+-][0-9]+:[0-9]+ ";
  EXPECT_THAT(file_lines(), ::testing::ElementsAre(MatchesRegex(time + "info: plain"),
                                                   MatchesRegex(time + "warning: look out"),
                                                   MatchesRegex(time + "error: broken")));
}

TEST_F(Log, CanLeaveStderrAlone) {
  EXPECT_EQ(stderr_of([&] {
              open(file_, false);
              error("for the file");
              flush();
            }),
            "");
  EXPECT_EQ(file_lines().size(), 1U);
}

TEST_F(Log, AppendsToAnEarlierFile) {
  stderr_of([&] {
    open(file_);
    info("first run");
    close();
    info("between");
    open(file_);
    info("second run");
  });
  ASSERT_EQ(file_lines().size(), 2U);
  EXPECT_THAT(file_lines()[0], HasSubstr("first run"));
  EXPECT_THAT(file_lines()[1], HasSubstr("second run"));
}

TEST_F(Log, TakesBracesAndPercentsAsText) {
  EXPECT_EQ(stderr_of([] { info("{} {0} %v %s {"); }), "{} {0} %v %s {\n");
}

TEST_F(Log, LetsOtherRanksSayErrorsOnly) {
  const std::string shown = stderr_of([&] {
    open(file_);
    set_rank(3);
    info("quiet");
    warn("quiet too");
    error("broken");
  });
  EXPECT_EQ(shown, "error: [rank 3] broken\n");
  ASSERT_EQ(file_lines().size(), 1U);
  EXPECT_THAT(file_lines()[0], HasSubstr("error: [rank 3] broken"));
}

TEST_F(Log, SaysOnceThatTheFileCannotBeOpened) {
  const std::string shown = stderr_of([&] {
    open(folder_ / "missing/log.txt");
    info("one");
    info("two");
    flush();
  });
  EXPECT_THAT(shown, MatchesRegex("warning: cannot write the log '.*missing/log.txt': No such file "
                                  "or directory; [^\n]*\none\ntwo\n"));
}

TEST_F(Log, SaysOnceThatTheDiskIsFull) {
  const std::string shown = stderr_of([] {
    open("/dev/full");
    info("one");
    info("two");
    flush();
  });
  EXPECT_THAT(shown, MatchesRegex("warning: cannot write the log '/dev/full': No space left on "
                                  "device; [^\n]*\none\ntwo\n"));
}

TEST_F(Log, PassesAboveAStatusLine) {
  const std::string shown = stderr_of([] {
    Console::standard_error().set_status("[=> ]");
    warn("look out");
    Console::standard_error().keep_status();
  });
  EXPECT_EQ(shown, "\r\x1b[K[=> ]\r\x1b[Kwarning: look out\n[=> ]\n");
}

TEST_F(Log, KeepsLinesOfManyThreadsWhole) {
  open(file_, false);
  const std::string text(200, 'x');
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 250; ++j) info(text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = file_lines();
  EXPECT_EQ(lines.size(), 1000U);
  for (const std::string& line : lines) EXPECT_TRUE(line.ends_with(" info: " + text)) << line;
}

TEST_F(Log, CanBeReopenedWhileOthersSpeak) {
  const std::string other = folder_ / "other.txt";
  open(file_, false);
  std::thread speaker([] {
    for (int i = 0; i < 500; ++i) error("x");
  });
  for (int i = 0; i < 50; ++i) open(i % 2 == 0 ? other : file_, false);
  speaker.join();
  error("last");
  EXPECT_THAT(file_lines().back(), HasSubstr("last"));
}

}  // namespace
}  // namespace adatape::log
