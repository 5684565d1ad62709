// What is at the path: only regular files of a sane size are read, and nothing makes loading wait.
#include "csrc/config/sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/config/example_config.h"
#include "tests/support/temporary_folder.h"

namespace adatape::config {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void expect_refused(const std::string& path, const std::string& phrase) {
  try {
    load<ExampleConfig>(path);
    FAIL() << path << " was accepted";
  } catch (const Error& error) {
    ASSERT_EQ(error.problems.size(), 1u);
    EXPECT_EQ(error.problems[0].file, path);
    EXPECT_EQ(error.problems[0].line, 1);
    EXPECT_THAT(error.what(), HasSubstr(phrase));
  }
}

TEST(Sources, RefuseWhatIsNoReadableFile) {
  const test::TemporaryFolder folder;
  expect_refused(folder / "none.yaml", "the file cannot be read: No such file");
  expect_refused(folder / std::string(5000, 'x'), "the file cannot be read");
  expect_refused(folder / "", "is a directory");
  expect_refused(folder.write("file.yaml", "") + "/main.yaml", "the file cannot be read");
  expect_refused("", "the file cannot be read");
}

TEST(Sources, RefuseDevicesAndPipesWithoutWaiting) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_refused(folder / "pipe", "is not a regular file");
  expect_refused("/dev/zero", "is not a regular file");
  fs::create_symlink("/dev/null", folder / "link");
  expect_refused(folder / "link", "is not a regular file");
  fs::create_symlink(folder / "loop", folder / "loop");
  expect_refused(folder / "loop", "the file cannot be read");
}

TEST(Sources, RefuseHugeFilesUnread) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("huge.yaml", "seed: 1\n");
  fs::resize_file(path, 100'000'000);
  expect_refused(path, "has 100000000 bytes, and a configuration at most 1048576");
}

TEST(Sources, FollowLinksToFiles) {
  const test::TemporaryFolder folder;
  fs::create_symlink(folder.write("real.yaml", "seed: 7\n"), folder / "link.yaml");
  EXPECT_EQ(load<ExampleConfig>(folder / "link.yaml").seed, 7);
}

TEST(Sources, EscapeTheNameOfTheFile) {
  const test::TemporaryFolder folder;
  try {
    load<ExampleConfig>(folder.write("a\x1b\nb.yaml", "seed: x\n"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a\\x1b\\nb.yaml:1: 'seed'"));
  }
}

TEST(Sources, AllowABaseByItsAbsolutePath) {
  const test::TemporaryFolder folder;
  const std::string base = folder.write("base.yaml", "seed: 9\n");
  EXPECT_EQ(load<ExampleConfig>(folder.write("sub/main.yaml", "base: " + base + "\n")).seed, 9);
}

}  // namespace
}  // namespace adatape::config
