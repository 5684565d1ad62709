// The attention kernels under emulation: values and gradients against float64, as close as the
// elements' own precision allows, and nothing that the shadow memory objects to.
#include <gtest/gtest.h>

#include "tests/kernels/attention_run.h"

namespace adatape::kernels {
namespace {

using emulation::Order;

const std::vector<DType> kTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
const std::vector<int> kLengths = {0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 206, 257};
const std::vector<int> kShortLengths = {0, 1, 15, 16, 17, 31, 32, 2, 7};

std::string name_of(DType dtype) {
  const char* names[] = {"float32", "float64", "bfloat16", "float16"};
  return names[int(dtype)];
}

std::string describe(const AttentionCase& c) {
  std::string text = name_of(c.dtype) + " width " + std::to_string(c.width);
  if (c.causal) text += " causal";
  const auto add = [&](const char* name, const std::vector<int>& lengths) {
    text += name;
    for (size_t i = 0; i < lengths.size() && i < 20; ++i) text += " " + std::to_string(lengths[i]);
  };
  add(", queries", c.queries);
  add(", keys", c.keys);
  return text;
}

void expect_right(const AttentionCase& config, const emulation::Settings& settings = {}) {
  SCOPED_TRACE(describe(config));
  const AttentionProblem problem(config);
  const AttentionResults exact = attention_in_float64(problem);
  const NaiveAttention naive = attention_naive(problem);
  const EmulatedAttention run = emulate(problem, settings);
  EXPECT_EQ(run.findings, "");
  EXPECT_EQ(compare(config.dtype, run.results, exact, naive), "");
  EXPECT_EQ(compare(config.dtype, attention_on_cpu(problem), exact, naive, 4), "") << "on the CPU";
}

class EveryWidth : public testing::TestWithParam<std::tuple<DType, int>> {
 protected:
  AttentionCase config() const {
    return {.dtype = std::get<0>(GetParam()), .width = std::get<1>(GetParam()), .heads = 1};
  }
};

TEST_P(EveryWidth, AllLengths) {
  AttentionCase c = config();
  c.queries = kLengths;
  expect_right(c);
}

TEST_P(EveryWidth, ShortLengths) {
  AttentionCase c = config();
  c.queries = kShortLengths;
  c.heads = 3;
  expect_right(c, {.order = Order::kReversed});
}

TEST_P(EveryWidth, LengthsUpTo64) {
  AttentionCase c = config();
  c.queries = {33, 0, 64, 17, 49, 63};
  expect_right(c, {.order = Order::kPermuted});
}

TEST_P(EveryWidth, Causal) {
  AttentionCase c = config();
  c.causal = true;
  c.queries = {70, 5, 130, 0, 64, 20, 100};
  c.keys = {70, 9, 97, 3, 64, 0, 180};
  expect_right(c, {.order = Order::kReversed});
  c.queries = {7, 5, 16, 0, 20, 32};
  c.keys = {7, 9, 11, 3, 0, 32};
  expect_right(c);
  c.queries.push_back(64);
  c.keys.push_back(50);
  expect_right(c);
}

TEST_P(EveryWidth, TwoSegmentsAndGaps) {
  AttentionCase c = config();
  c.query_tails = c.key_tails = true;
  c.gap = 3;
  c.queries = {100, 3, 0, 64, 70, 1};
  expect_right(c, {.order = Order::kPermuted});
  c.queries = {31, 3, 0, 16, 20, 1};
  expect_right(c);
}

INSTANTIATE_TEST_SUITE_P(RaggedAttention, EveryWidth,
                         testing::Combine(testing::ValuesIn(kTypes),
                                          testing::Values(16, 32, 64, 80, 96, 128)),
                         [](const auto& info) {
                           return name_of(std::get<0>(info.param)) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(RaggedAttention, TakesEveryOtherWidth) {
  for (DType dtype : kTypes) {
    for (int width : {8, 24, 40, 112, 120}) {
      expect_right({.dtype = dtype, .width = width, .queries = {33, 0, 17, 70}});
      expect_right({.dtype = dtype, .width = width, .queries = {12, 0, 17, 1}});
    }
    for (int width : {1, 7, 20, 100, 136, 200, 256}) {
      AttentionCase c{.dtype = dtype, .width = width, .heads = width < 16 ? 8 : 2};
      c.queries = {5, 0, 17};
      c.key_tails = true;
      expect_right(c);
      c.queries = {5, 70, 8};
      c.keys = {9, 3, 0};
      c.key_tails = false;
      c.causal = true;
      expect_right(c);
    }
  }
}

TEST(RaggedAttention, TakesFewerQueriesThanKeys) {
  for (DType dtype : kTypes) {
    const std::vector<int> one(6, 1), some = {0, 3, 20, 0, 64, 1}, keys = {64, 0, 17, 130, 200, 1};
    expect_right({.dtype = dtype, .queries = one, .keys = keys, .query_tails = true});
    expect_right({.dtype = dtype, .queries = some, .keys = keys, .key_tails = true, .gap = 1});
    expect_right({.dtype = dtype, .queries = keys, .keys = some});
    expect_right({.dtype = dtype, .width = 16, .queries = {1, 0, 9, 5}, .keys = {32, 7, 0, 20}});
  }
}

TEST(RaggedAttention, TakesEveryLayout) {
  for (DType dtype : kTypes) {
    for (Layout layout : {Layout::kHeadsFirst, Layout::kInterleaved}) {
      AttentionCase c{.dtype = dtype, .width = 32, .heads = 3, .queries = {70, 4, 33}, .gap = 2};
      c.layout = layout;
      expect_right(c);
      c.queries = {7, 4, 30};
      expect_right(c);
      c.width = 25;  // rows start at odd places
      expect_right(c);
    }
  }
}

TEST(RaggedAttention, TakesManySequences) {
  // More than one round of the search for a block's sequence, with empty ones in between.
  std::vector<int> lengths(1100);
  for (size_t b = 0; b < lengths.size(); ++b) lengths[b] = b % 7 == 3 ? 2 : b % 301 == 0 ? 65 : 0;
  for (DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    expect_right({.dtype = dtype, .width = 16, .heads = 1, .queries = lengths});
    expect_right({.dtype = dtype, .width = 16, .heads = 1, .queries = lengths, .key_tails = true});
  }
}

TEST(RaggedAttention, TakesEveryScale) {
  for (DType dtype : kTypes) {
    for (double scale : {-0.3, 0.05, 1.0}) {
      for (bool causal : {false, true}) {
        const std::vector<int> all = {70, 5, 33}, few = {20, 5, 32};
        expect_right({.dtype = dtype, .queries = all, .causal = causal, .scale = scale});
        expect_right({.dtype = dtype, .queries = few, .causal = causal, .scale = scale});
        expect_right(
            {.dtype = dtype, .width = 20, .queries = few, .causal = causal, .scale = scale});
      }
    }
  }
}

TEST(RaggedAttention, KeepsPrecisionWhereScoresAreLarge) {
  for (DType dtype : kTypes) {
    for (const std::vector<int>& lengths : {std::vector<int>{70, 5, 257}, {20, 5, 32}, {50, 64}}) {
      expect_right({.dtype = dtype, .queries = lengths, .spread = 5});
    }
  }
}

TEST(RaggedAttention, TakesNothing) {
  for (DType dtype : kTypes) {
    for (int width : {16, 20}) {
      expect_right({.dtype = dtype, .width = width, .queries = {}});
      expect_right({.dtype = dtype, .width = width, .queries = {0, 0, 0}});
      expect_right({.dtype = dtype, .width = width, .queries = {0, 0, 0}, .keys = {3, 0, 70}});
      expect_right({.dtype = dtype, .width = width, .queries = {3, 0, 70}, .keys = {0, 0, 0}});
      expect_right({.dtype = dtype, .width = width, .heads = 0, .queries = {3, 70}});
    }
  }
}

TEST(RaggedAttention, RefusesFloat64) {
  AttentionProblem problem({.dtype = DType::kFloat64, .queries = {3}});
  EXPECT_THROW(emulate(problem), std::runtime_error);
}

}  // namespace
}  // namespace adatape::kernels
