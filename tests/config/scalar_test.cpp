// Which texts are which values, and back.
#include "csrc/config/scalar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace adatape::config {
namespace {

Node plain(const std::string& text) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.text = text;
  return node;
}

TEST(Scalar, ReadsWholeNumbersInEveryDecimalForm) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"0", 0},
      {"-0", 0},
      {"+7", 7},
      {"1e3", 1000},
      {"1E+3", 1000},
      {"2.50e2", 250},
      {"1200e-2", 12},
      {"3.0", 3},
      {"0e999", 0},
      {"0.000", 0},
      {"-1e0", -1},
      {"1000000000000000000", 1000000000000000000},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
      {"9.223372036854775807e18", std::numeric_limits<std::int64_t>::max()},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()}};
  for (const auto& [text, expected] : cases) {
    std::int64_t value = 99;
    EXPECT_EQ(read_scalar(plain(text), value), std::nullopt) << text;
    EXPECT_EQ(value, expected) << text;
  }
}

TEST(Scalar, LeavesTheValueWhereItComplains) {
  for (const char* text : {"", "-", "+", ".", "e3", "1e", "1e+", "1.2.3", "--1", "1 2", "1-", "0x",
                           "1e99999999999999999999", "١"}) {
    std::int64_t value = 99;
    EXPECT_NE(read_scalar(plain(text), value), std::nullopt) << text;
    EXPECT_EQ(value, 99) << text;
  }
}

TEST(Scalar, ReadsNumbersExactly) {
  const std::pair<const char*, double> cases[] = {
      {"1", 1.0},         {".5", 0.5},
      {"5.", 5.0},        {"-1.5e-3", -0.0015},
      {"1e22", 1e22},     {"0.1", 0.1},
      {"5e-324", 5e-324}, {"1.7976931348623157e308", 1.7976931348623157e308},
      {"0e-999", 0.0}};
  for (const auto& [text, expected] : cases) {
    double value = 99;
    EXPECT_EQ(read_scalar(plain(text), value), std::nullopt) << text;
    EXPECT_EQ(value, expected) << text;
  }
}

TEST(Scalar, PrintsWhatItReads) {
  EXPECT_EQ(print_scalar(1.0), "1.0");
  EXPECT_EQ(print_scalar(1e6), "1000000.0");
  EXPECT_EQ(print_scalar(1e-5), "1.0e-05");
  EXPECT_EQ(print_scalar(1.25e300), "1.25e+300");
  EXPECT_EQ(print_scalar(-0.0), "-0.0");
  EXPECT_EQ(print_scalar(std::string("a/b-c_d.e1")), "a/b-c_d.e1");
  for (const char* quoted :
       {"", "1", "1e3", "-x", ".5", "~", "Null", "YES", "off", "a b", "a:b", "#", "é", "- a"}) {
    EXPECT_EQ(print_scalar(std::string(quoted)), "\"" + std::string(quoted) + "\"");
  }
  EXPECT_EQ(print_scalar(std::string("\"\\\n\x1b\u0085")), "\"\\\"\\\\\\n\\x1b\\x85\"");
}

TEST(Scalar, TellsBounds) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(bounds_text(Range{-1, 2.5}), "between -1 and 2.5");
  EXPECT_EQ(bounds_text(Range{1, kInf}), "at least 1");
  EXPECT_EQ(bounds_text(Range{-kInf, 1}), "at most 1");
  EXPECT_EQ(bounds_text(Range{-kInf, kInf}), "");
  EXPECT_EQ(bounds_text(Above{0}), "greater than 0");
  EXPECT_EQ(bounds_text(Above{0, 1}), "greater than 0 and at most 1");
  EXPECT_EQ(bounds_text(HalfOpen{0, 1}), "at least 0 and less than 1");
}

TEST(Scalar, KeepsToBounds) {
  const auto within = [](const Limit& limit, double value) {
    return !check_limit(plain("x"), limit, value);
  };
  EXPECT_TRUE(within(Range{0, 1}, 0) && within(Range{0, 1}, 1));
  EXPECT_FALSE(within(Range{0, 1}, -0.1) || within(Range{0, 1}, 1.1));
  EXPECT_TRUE(within(Above{0, 1}, 1) && within(HalfOpen{0, 1}, 0));
  EXPECT_FALSE(within(Above{0, 1}, 0) || within(Above{0, 1}, 2) || within(HalfOpen{0, 1}, 1));
}

}  // namespace
}  // namespace adatape::config
