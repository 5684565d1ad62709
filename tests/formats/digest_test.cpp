#include "csrc/formats/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "csrc/formats/error.h"
#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

std::string counting(size_t bytes) {
  std::string out(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 31 % 251);
  return out;
}

TEST(Xxh3, MatchesKnownValues) {
  EXPECT_EQ(xxh3_hex(nullptr, 0), "2d06800538d394c2");
  EXPECT_EQ(xxh3_hex("abc", 3), "78af5f94892f3950");
}

TEST(Xxh3, IsTheSameForAFileAsForItsBytes) {
  const test::TemporaryFolder folder;
  constexpr size_t kPiece = size_t{1} << 20;
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{240}, size_t{241}, kPiece - 1, kPiece,
                             kPiece + 1, 3 * kPiece + 7}) {
    const std::string content = counting(bytes);
    test::write_bytes(folder / "a", content);
    EXPECT_EQ(xxh3_hex_of_file(folder / "a"), xxh3_hex(content.data(), content.size())) << bytes;
  }
}

TEST(Xxh3, ChangesWithEveryBit) {
  std::string content = counting(300);
  const std::string before = xxh3_hex(content.data(), content.size());
  for (size_t bit = 0; bit < content.size() * 8; ++bit) {
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(xxh3_hex(content.data(), content.size()), before);
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
  }
}

TEST(Xxh3, NamesAMissingFile) { EXPECT_THROW(xxh3_hex_of_file("none/such"), IoError); }

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, MatchesKnownValues) {
  EXPECT_EQ(crc32c("", 0), 0U);
  EXPECT_EQ(crc32c("123456789", 9), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0').data(), 32), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF').data(), 32), 0x62A8AB43U);
  std::string rising(32, '\0');
  for (size_t i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(crc32c(rising.data(), 32), 0x46DD794EU);
}

}  // namespace
}  // namespace adatape::formats
