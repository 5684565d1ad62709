// What only C++ can see of the event files; that TensorBoard reads them is test_formats.py's
// matter.
#include "csrc/formats/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "csrc/formats/digest.h"
#include "tests/formats/file_size_limit.h"
#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

constexpr double kTime = 1.7e9;

template <typename Number>
Number number_at(const std::string& bytes, size_t place) {
  Number number{};
  std::memcpy(&number, bytes.data() + place, sizeof number);
  return number;
}

bool crc_matches(const std::string& bytes, size_t begin, size_t end) {
  const uint32_t masked = number_at<uint32_t>(bytes, end) - 0xA282EAD8U;
  return ((masked << 15) | (masked >> 17)) == crc32c(bytes.data() + begin, end - begin);
}

/// The events of a TFRecord file, or a failed expectation where its framing is broken.
std::vector<std::string> records_of(const std::string& path) {
  const std::string bytes = test::read_bytes(path);
  std::vector<std::string> records;
  size_t place = 0;
  while (place + 16 <= bytes.size()) {
    const auto length = number_at<uint64_t>(bytes, place);
    EXPECT_TRUE(crc_matches(bytes, place, place + 8));
    if (length > bytes.size() - place - 16) break;
    EXPECT_TRUE(crc_matches(bytes, place + 12, place + 12 + length));
    records.push_back(bytes.substr(place + 12, length));
    place += 16 + length;
  }
  EXPECT_EQ(place, bytes.size());
  return records;
}

TEST(EventWriter, BeginsWithTheVersion) {
  const test::TemporaryFolder folder;
  const EventWriter writer(folder / "deep/events", kTime);
  const auto records = records_of(writer.path());
  ASSERT_EQ(records.size(), 1U);
  // Field 1, a double, and field 3, a text of 13 bytes.
  EXPECT_EQ(records[0][0], '\x09');
  EXPECT_EQ(number_at<double>(records[0], 1), kTime);
  EXPECT_EQ(records[0].substr(9),
            "\x1A\x0D"
            "brain.Event:2");
}

TEST(EventWriter, WritesASessionStartAtResume) {
  const test::TemporaryFolder folder;
  const EventWriter writer(folder.path(), kTime, 300);
  const auto records = records_of(writer.path());
  ASSERT_EQ(records.size(), 2U);
  // Field 2 is the step, 300 as a varint; field 7 a message whose field 1 is START.
  EXPECT_EQ(records[1].substr(9), "\x10\xAC\x02\x3A\x02\x08\x01");
}

TEST(EventWriter, WritesWhatIsFlushed) {
  const test::TemporaryFolder folder;
  EventWriter writer(folder.path(), kTime);
  writer.scalar("loss", 7, 0.5, kTime);
  EXPECT_EQ(records_of(writer.path()).size(), 1U);
  writer.flush();
  ASSERT_EQ(records_of(writer.path()).size(), 2U);
  const float half = 0.5F;
  EXPECT_THAT(records_of(writer.path())[1],
              ::testing::EndsWith("\x0A\x04loss\x15" +
                                  std::string(reinterpret_cast<const char*>(&half), 4)));
}

TEST(EventWriter, WritesByItselfWhenMuchIsBuffered) {
  const test::TemporaryFolder folder;
  EventWriter writer(folder.path(), kTime);
  for (int step = 0; step < 2000; ++step) writer.scalar("loss", step, 1, kTime);
  EXPECT_GT(records_of(writer.path()).size(), 1000U);
}

TEST(EventWriter, FlushesWhenItGoes) {
  const test::TemporaryFolder folder;
  std::string path;
  {
    EventWriter writer(folder.path(), kTime);
    path = writer.path();
    writer.scalar("loss", 1, 1, kTime);
    writer.text("config", 0, "a: 1", kTime);
  }
  EXPECT_EQ(records_of(path).size(), 3U);
}

TEST(EventWriter, NamesFilesInTheOrderOfTheirMaking) {
  const test::TemporaryFolder folder;
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) {
    // The clock may stand still or go back between runs.
    names.push_back(EventWriter(folder.path(), kTime - i).path());
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_THAT(names[0], ::testing::HasSubstr("/events.out.tfevents.1700000000."));
}

TEST(EventWriter, IsNotMisledByOddNames) {
  const test::TemporaryFolder folder;
  for (const char* name :
       {"events.out.tfevents.", "events.out.tfevents.x", "events.out.tfevents.99999999999999999999",
        "events.out.tfevents.-5", "events.out.tfevents.9223372036854775807", "metrics.jsonl"}) {
    test::write_bytes(folder / name, "");
  }
  EXPECT_THAT(EventWriter(folder.path(), kTime).path(), ::testing::HasSubstr(".1700000000."));
}

TEST(EventWriter, LeavesOutHistogramsWithoutAFiniteValue) {
  const test::TemporaryFolder folder;
  EventWriter writer(folder.path(), kTime);
  const std::vector<double> none, odd{std::nan(""), std::numeric_limits<double>::infinity()};
  writer.histogram("empty", 1, none, kTime);
  writer.histogram("odd", 1, odd, kTime);
  writer.flush();
  EXPECT_EQ(records_of(writer.path()).size(), 1U);
}

TEST(EventWriter, StaysReadableWhenTheDiskIsFull) {
  const test::TemporaryFolder folder;
  EventWriter writer(folder.path(), kTime);
  writer.scalar("loss", 1, 1, kTime);
  writer.flush();
  {
    const test::FileSizeLimit limit(std::filesystem::file_size(writer.path()) + 20);
    writer.scalar("loss", 2, 2, kTime);
    EXPECT_THROW(writer.flush(), IoError);
    EXPECT_EQ(records_of(writer.path()).size(), 2U);
    EXPECT_NO_THROW(writer.flush());
  }
  writer.scalar("loss", 3, 3, kTime);
  writer.flush();
  EXPECT_EQ(records_of(writer.path()).size(), 3U);
}

TEST(EventWriter, NamesAPlaceThatCannotBe) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "file", "");
  EXPECT_THROW(EventWriter(folder / "file", kTime), IoError);
  EXPECT_THROW(EventWriter(folder / "file/below", kTime), IoError);
}

}  // namespace
}  // namespace adatape::formats
