#include "trainers/json_file.h"

#include <gtest/gtest.h>

namespace adatape {
namespace {

std::string nested(int depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); }

TEST(ParseJson, BoundsTheDepthOfWhatIsJsonAndOfWhatIsNot) {
  EXPECT_EQ(parse_json(nested(16)).dump(), nested(16));
  EXPECT_TRUE(parse_json(nested(17)).is_discarded());
  EXPECT_TRUE(parse_json(std::string(300000, '[')).is_discarded());
  EXPECT_TRUE(parse_json("{").is_discarded());
  EXPECT_TRUE(parse_json("").is_discarded());
}

TEST(ParseJson, CountsNoBracketsWithinText) {
  const std::string text = R"({"a\\\"[[[[[[[[[[[[[[[[[[[[":"]]}}\\","b":[{"c":[]},{"d":[]}]})";
  EXPECT_EQ(parse_json(text).dump(), text);
  EXPECT_EQ(parse_json("[" + std::string(40, ' ') + R"("\\", [], [], [], [1]])").size(), 5u);
}

}  // namespace
}  // namespace adatape
