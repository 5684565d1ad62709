#include "csrc/formats/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace adatape::formats {
namespace {

TEST(Quote, KeepsTextAndEscapesControls) {
  EXPECT_EQ(quote("blocks.0/größe 層"), "'blocks.0/größe 層'");
  EXPECT_EQ(quote(std::string("a\n\x1b[2J\x7f\0", 8)), "'a\\x0A\\x1B[2J\\x7F\\x00'");
  EXPECT_EQ(quote(""), "''");
}

TEST(Quote, ShortensBetweenCharacters) {
  EXPECT_EQ(quote(std::string(120, 'a')), "'" + std::string(120, 'a') + "'");
  EXPECT_EQ(quote(std::string(121, 'a')), "'" + std::string(120, 'a') + "...'");
  EXPECT_EQ(quote(std::string(119, 'a') + "ß"), "'" + std::string(119, 'a') + "...'");
  EXPECT_EQ(quote(std::string(200, '\x80')), "'...'");
}

TEST(IoError, SaysWhatWhereWhyAndWhatToDo) {
  const IoError full("write", "runs/a/metrics", ENOSPC);
  EXPECT_STREQ(full.what(),
               "cannot write 'runs/a/metrics': No space left on device; free some space there or "
               "choose another folder");
  EXPECT_EQ(full.code, ENOSPC);
  EXPECT_STREQ(IoError("open", "x", ENOENT).what(),
               "cannot open 'x': No such file or directory; check the path");
  EXPECT_STREQ(IoError("open", "x", EACCES).what(),
               "cannot open 'x': Permission denied; check its permissions");
  EXPECT_STREQ(IoError("read", "x", EIO).what(), "cannot read 'x': Input/output error");
}

}  // namespace
}  // namespace adatape::formats
