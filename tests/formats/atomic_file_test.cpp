#include "csrc/formats/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string>

#include "tests/formats/file_size_limit.h"
#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

using Names = std::set<std::string>;

TEST(TemporaryName, StaysInTheSameFolder) {
  EXPECT_EQ(temporary_name("checkpoints/step-5"), "checkpoints/.step-5.tmp");
  EXPECT_EQ(temporary_name("checkpoints/step-5/"), "checkpoints/.step-5.tmp");
  EXPECT_EQ(temporary_name("a.json"), ".a.json.tmp");
}

TEST(AtomicFile, AppearsOnCommitOnly) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a", "old");
  AtomicFile file(folder / "a");
  file.write("ne", 2);
  file.write("w", 1);
  EXPECT_EQ(test::read_bytes(folder / "a"), "old");
  file.commit();
  EXPECT_EQ(test::read_bytes(folder / "a"), "new");
  EXPECT_EQ(names_in(folder.path()), Names{"a"});
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new", 3);
    EXPECT_EQ(names_in(folder.path()), (Names{".a.tmp", "a"}));
  }
  EXPECT_EQ(names_in(folder.path()), Names{"a"});
  EXPECT_EQ(test::read_bytes(folder / "a"), "old");
}

TEST(AtomicFile, TakesOverWhatACrashLeft) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / ".a.tmp", "half of something much longer");
  write_file(folder / "a", "whole");
  EXPECT_EQ(test::read_bytes(folder / "a"), "whole");
  EXPECT_EQ(names_in(folder.path()), Names{"a"});
}

TEST(AtomicFile, KeepsTheOldFileWhenThereIsNoRoom) {
  const test::TemporaryFolder folder;
  write_file(folder / "a", "old");
  {
    const test::FileSizeLimit limit(1000);
    try {
      write_file(folder / "a", std::string(2000, 'x'));
      FAIL() << "written";
    } catch (const IoError& error) {
      EXPECT_EQ(error.code, EFBIG);
      EXPECT_THAT(error.what(), ::testing::HasSubstr(folder / ".a.tmp"));
    }
  }
  EXPECT_EQ(test::read_bytes(folder / "a"), "old");
  EXPECT_EQ(names_in(folder.path()), Names{"a"});
}

TEST(AtomicFile, NamesAPlaceThatCannotBe) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / "taken/inside");
  try {
    write_file(folder / "taken", "x");
    FAIL() << "written";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code, EISDIR);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(folder / "taken"));
  }
  try {
    write_file(folder / "none/a", "x");
    FAIL() << "written";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code, ENOENT);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(folder / "none/a'"));
  }
}

TEST(AtomicFile, WorksInTheCurrentFolder) {
  const test::TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file("a", "x");
  fs::current_path(before);
  EXPECT_EQ(test::read_bytes(folder / "a"), "x");
}

TEST(AtomicFolder, AppearsOnCommitOnly) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "checkpoints/step-5";
  AtomicFolder writing(path);
  EXPECT_EQ(writing.temporary(), folder / "checkpoints/.step-5.tmp");
  write_file(writing.temporary() + "/model", "x");
  fs::create_directory(writing.temporary() + "/deeper");
  write_file(writing.temporary() + "/deeper/state", "y");
  EXPECT_FALSE(fs::exists(path));
  writing.commit();
  EXPECT_EQ(names_in(folder / "checkpoints"), Names{"step-5"});
  EXPECT_EQ(names_in(path), (Names{"deeper", "model"}));
}

TEST(AtomicFolder, LeavesNothingWithoutCommit) {
  const test::TemporaryFolder folder;
  {
    const AtomicFolder writing(folder / "step-5");
    write_file(writing.temporary() + "/model", "x");
  }
  EXPECT_EQ(names_in(folder.path()), Names{});
}

TEST(AtomicFolder, StartsEmptyAfterACrash) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / ".step-5.tmp");
  test::write_bytes(folder / ".step-5.tmp/half", "x");
  AtomicFolder writing(folder / "step-5/");
  write_file(writing.temporary() + "/model", "x");
  writing.commit();
  EXPECT_EQ(names_in(folder / "step-5"), Names{"model"});
}

TEST(AtomicFolder, DoesNotReplaceAFullOne) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / "step-5");
  test::write_bytes(folder / "step-5/model", "old");
  {
    AtomicFolder writing(folder / "step-5");
    write_file(writing.temporary() + "/model", "new");
    EXPECT_THROW(writing.commit(), IoError);
  }
  EXPECT_EQ(test::read_bytes(folder / "step-5/model"), "old");
  EXPECT_EQ(names_in(folder.path()), Names{"step-5"});
}

TEST(RemoveTemporaries, RemovesThemAndNothingElse) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / ".step-5.tmp/inside");
  test::write_bytes(folder / ".a.tmp", "x");
  const Names others{"step-4", ".hidden", "b.tmp", ".tmp"};
  for (const std::string& name : others) test::write_bytes(folder / name, "x");
  remove_temporaries(folder.path());
  EXPECT_EQ(names_in(folder.path()), others);
  EXPECT_THROW(remove_temporaries(folder / "none"), IoError);
}

}  // namespace
}  // namespace adatape::formats
