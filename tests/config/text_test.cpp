// Text from outside made fit for messages, and the nearest known word.
#include "csrc/config/text.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace adatape::config {
namespace {

TEST(Text, EscapesWhatCouldSpoilALine) {
  EXPECT_EQ(printable("plain é 日 😀"), "plain é 日 😀");
  EXPECT_EQ(printable("a\nb\tc\x1b\x7f"), "a\\nb\\tc\\x1b\\x7f");
  EXPECT_EQ(printable(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\u0085\u202e\ufeff\U0010ffff"), "\\x85\\u202e\\ufeff\\U0010ffff");
}

TEST(Text, KnowsUtf8) {
  for (const char* good :
       {"", "a", "\u00e9", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"}) {
    EXPECT_TRUE(is_utf8(good)) << printable(good);
  }
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82",
                          "\xe2\x82"
                          "a"}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  }
}

TEST(Text, CutsLongQuotesBetweenCharacters) {
  EXPECT_EQ(quote("short"), "'short'");
  EXPECT_EQ(quote(std::string(61, 'x')), "'" + std::string(60, 'x') + "...'");
  std::string accents;
  for (int i = 0; i < 40; ++i) accents += "日";
  EXPECT_EQ(quote("a" + accents), "'a" + accents.substr(0, 57) + "...'");
}

TEST(Nearest, FindsSlipsOfTheHand) {
  const std::vector<std::string> keys{"lr", "decay", "max_steps", "warmup", "tape_length"};
  EXPECT_EQ(nearest("lt", keys), "lr");
  EXPECT_EQ(nearest("dacey", keys), std::nullopt);
  EXPECT_EQ(nearest("dceay", keys), "decay");
  EXPECT_EQ(nearest("Max-Steps", keys), "max_steps");
  EXPECT_EQ(nearest("maxsteps", keys), "max_steps");
  EXPECT_EQ(nearest("warm", keys), "warmup");
  EXPECT_EQ(nearest("tape_lenght", keys), "tape_length");
}

TEST(Nearest, SaysNothingWhenNoneIsNear) {
  const std::vector<std::string> keys{"lr", "decay", "a"};
  for (const std::string& word : {std::string("epochs"), std::string("x"), std::string("b"),
                                  std::string(), std::string(5000, 'l')}) {
    EXPECT_EQ(nearest(word, keys), std::nullopt) << word;
  }
  EXPECT_EQ(nearest("lr", {}), std::nullopt);
}

}  // namespace
}  // namespace adatape::config
