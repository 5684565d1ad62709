#include "csrc/formats/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

template <typename Action>
int code_of(Action action) {
  try {
    action();
  } catch (const IoError& error) {
    return error.code;
  }
  return 0;
}

TEST(InputFile, ReadsAtAnyPlace) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  EXPECT_EQ(file.size(), 10U);
  std::string text(3, ' ');
  file.read_at(7, text.data(), text.size());
  EXPECT_EQ(text, "789");
  file.read_at(10, text.data(), 0);
  EXPECT_THROW(file.read_at(8, text.data(), 3), FormatError);
  EXPECT_THROW(file.read_at(uint64_t{1} << 40, text.data(), 1), FormatError);
}

TEST(InputFile, RefusesWhatIsNoFile) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(code_of([&] { InputFile(folder / "none"); }), ENOENT);
  EXPECT_THROW(InputFile(folder.path()), FormatError);
  EXPECT_THROW(InputFile("/dev/zero"), FormatError);
}

TEST(OutputFile, WritesAndShortens) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a", "an older and longer text");
  OutputFile file(folder / "a");
  file.write("hello", 5);
  file.write(" world", 6);
  EXPECT_EQ(file.size(), 11U);
  EXPECT_TRUE(file.truncate(5));
  EXPECT_EQ(file.size(), 5U);
  file.write("!", 1);
  file.sync();
  file.close();
  EXPECT_EQ(test::read_bytes(folder / "a"), "hello!");
}

TEST(OutputFile, NamesAFullDisk) {
  OutputFile file("/dev/full");
  EXPECT_EQ(code_of([&] { file.write("x", 1); }), ENOSPC);
  EXPECT_EQ(file.size(), 0U);
  EXPECT_FALSE(file.truncate(0));
}

TEST(OutputFile, DoesNotFollowALink) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "target", "precious");
  std::filesystem::create_symlink(folder / "target", folder / "link");
  EXPECT_EQ(code_of([&] { OutputFile(folder / "link"); }), ELOOP);
  EXPECT_EQ(test::read_bytes(folder / "target"), "precious");
}

TEST(OutputFile, NamesAMissingFolder) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(code_of([&] { OutputFile(folder / "none/a"); }), ENOENT);
}

TEST(OutputFile, GoesOnAfterSignals) {
  // A pipe with a late reader makes open and write wait, and a handler without SA_RESTART
  // interrupts them.
  const test::TemporaryFolder folder;
  const std::string path = folder / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::string received;
  sigset_t alarm, before;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_BLOCK, &alarm, &before);  // the reader's thread starts with it blocked
  std::thread reader([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    std::ifstream in(path, std::ios::binary);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    received.assign(std::istreambuf_iterator<char>(in), {});
  });
  static std::atomic<int> signals = 0;
  struct sigaction handler {
  }, handler_before{};
  handler.sa_handler = [](int) { ++signals; };
  ::sigaction(SIGALRM, &handler, &handler_before);
  const itimerval often{{0, 2000}, {0, 2000}}, never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const std::string text(1 << 20, 'x');
  {
    OutputFile file(path);
    file.write(text.data(), text.size());
    file.close();
  }
  ::setitimer(ITIMER_REAL, &never, nullptr);
  reader.join();
  ::sigaction(SIGALRM, &handler_before, nullptr);
  EXPECT_GT(signals, 5);
  EXPECT_EQ(received, text);
}

TEST(Descriptor, ClosesItselfOnce) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a", "x");
  int number = -1;
  {
    Descriptor first(folder / "a", O_RDONLY, "open");
    number = first.number();
    const Descriptor second(std::move(first));
    EXPECT_EQ(second.number(), number);
    EXPECT_EQ(::fcntl(number, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace adatape::formats
