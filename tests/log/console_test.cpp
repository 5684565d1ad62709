#include "csrc/log/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace adatape::log {
namespace {

TEST(Console, PrintsLinesAsTheyAreWithoutStatus) {
  std::string out;
  Console console([&](std::string_view text) { out += text; });
  console.line("one");
  console.line("two");
  EXPECT_EQ(out, "one\ntwo\n");
}

TEST(Console, PrintsLinesAboveTheStatus) {
  std::vector<std::string> pieces;
  Console console([&](std::string_view text) { pieces.emplace_back(text); });
  console.set_status("[==>  ]");
  console.line("a warning");
  console.set_status("[===> ]");
  console.keep_status();
  console.line("the end");
  EXPECT_EQ(pieces, (std::vector<std::string>{"\r\x1b[K[==>  ]", "\r\x1b[Ka warning\n[==>  ]",
                                              "\r\x1b[K[===> ]", "\n", "the end\n"}));
}

TEST(Console, KeepsNothingTwice) {
  std::string out;
  Console console([&](std::string_view text) { out += text; });
  console.keep_status();
  console.set_status("bar");
  console.keep_status();
  console.keep_status();
  EXPECT_EQ(out, "\r\x1b[Kbar\n");
}

TEST(Console, GivesEachThreadWholeLines) {
  std::vector<std::string> pieces;  // guarded by the console
  Console console([&](std::string_view text) { pieces.emplace_back(text); });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&console, i] {
      for (int j = 0; j < 500; ++j) {
        if (i == 0) {
          console.set_status("status");
        } else {
          console.line("line");
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  size_t lines = 0;
  for (const std::string& piece : pieces) {
    const bool line = piece == "line\n" || piece == "\r\x1b[Kline\nstatus";
    EXPECT_TRUE(line || piece == "\r\x1b[Kstatus") << piece;
    lines += line ? 1 : 0;
  }
  EXPECT_EQ(lines, 1500U);
}

TEST(StandardError, IsAskedWhatItIs) {
  const int before = ::dup(STDERR_FILENO);
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) GTEST_SKIP() << "this machine has no pseudo-terminals";
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int screen = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ASSERT_GE(screen, 0);
  winsize size{};
  size.ws_col = 123;
  ::ioctl(screen, TIOCSWINSZ, &size);
  ::dup2(screen, STDERR_FILENO);
  ::setenv("TERM", "xterm", 1);
  EXPECT_TRUE(stderr_is_terminal());
  EXPECT_EQ(stderr_width(), 123);
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(stderr_is_terminal());

  ::setenv("TERM", "xterm", 1);
  ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
  EXPECT_FALSE(stderr_is_terminal());
  EXPECT_EQ(stderr_width(), 80);
  ::dup2(before, STDERR_FILENO);
}

}  // namespace
}  // namespace adatape::log
