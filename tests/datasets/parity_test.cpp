#include "datasets/parity.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <numeric>
#include <set>
#include <type_traits>

#include "datasets/loader.h"

namespace adatape {
namespace {

static_assert(!std::is_move_constructible_v<Loader>, "its workers hold its address");

std::vector<int64_t> numbers(int64_t first, int64_t count) {
  std::vector<int64_t> n(count);
  std::iota(n.begin(), n.end(), first);
  return n;
}

bool equal(const Batch& a, const Batch& b) {
  return torch::equal(a.input, b.input) && torch::equal(a.label_B, b.label_B);
}

ParityConfig generator(const std::string& name, int64_t length = 16) {
  ParityConfig config;
  config.generator = name;
  config.length = length;
  return config;
}

TEST(Parity, LabelsCountTheOnesAndSymbolsAreInRange) {
  for (const char* name : {"iid_uniform", "random_count"}) {
    for (int64_t length : {1, 2, 7, 16, 64}) {
      const Batch batch = Parity(generator(name, length), 3).batch(Split::kTrain, numbers(0, 500));
      EXPECT_TRUE(torch::equal((batch.input == 2).sum(1) % 2, batch.label_B))
          << name << " " << length;
      EXPECT_GE(batch.input.min().item<int64_t>(), 0);
      EXPECT_LE(batch.input.max().item<int64_t>(), 2);
    }
  }
}

TEST(Parity, UniformGeneratorIsUniform) {
  const Batch batch = Parity(generator("iid_uniform"), 0).batch(Split::kTrain, numbers(0, 20000));
  const double n = double(batch.input.numel());
  for (int64_t symbol : {0, 1, 2}) {
    // Five standard deviations of a binomial share.
    EXPECT_NEAR((batch.input == symbol).sum().item<double>() / n, 1.0 / 3,
                5 * std::sqrt(2.0 / 9 / n));
  }
}

TEST(Parity, CountGeneratorDrawsCountsSignsAndPlacesUniformly) {
  const int64_t length = 8, size = 20000;
  const Batch batch =
      Parity(generator("random_count", length), 0).batch(Split::kTrain, numbers(0, size));
  const torch::Tensor signs = batch.input != 1;
  const torch::Tensor counts = torch::bincount(signs.sum(1), {}, length + 1);
  EXPECT_EQ(counts[0].item<int64_t>(), 0);
  for (int64_t k = 1; k <= length; ++k) {
    EXPECT_NEAR(counts[k].item<double>() / size, 1.0 / length, 5 * std::sqrt(1.0 / length / size))
        << k;
  }
  const double total = signs.sum().item<double>();
  EXPECT_NEAR((batch.input == 2).sum().item<double>() / total, 0.5, 5 * 0.5 / std::sqrt(total));
  for (int64_t place = 0; place < length; ++place) {
    EXPECT_NEAR(signs.select(1, place).sum().item<double>() / total, 1.0 / length, 0.01) << place;
  }
}

TEST(Parity, AnExampleDependsOnSeedSplitAndNumberAlone) {
  const Parity data(generator("iid_uniform", 40), 7);
  const Batch all = data.batch(Split::kTrain, numbers(1000, 8));
  const std::vector<int64_t> alone = {1005}, twice = {1005, 1005};
  EXPECT_TRUE(torch::equal(data.batch(Split::kTrain, alone).input[0], all.input[5]));
  EXPECT_TRUE(torch::equal(data.batch(Split::kTrain, twice).input[1], all.input[5]));
  EXPECT_TRUE(
      equal(Parity(generator("iid_uniform", 40), 7).batch(Split::kTrain, numbers(1000, 8)), all));
  EXPECT_FALSE(
      equal(Parity(generator("iid_uniform", 40), 8).batch(Split::kTrain, numbers(1000, 8)), all));
  EXPECT_FALSE(equal(data.batch(Split::kEvaluation, numbers(1000, 8)), all));
}

TEST(Parity, LongStringsOfTheSplitsNeverRepeat) {
  const Parity data(generator("iid_uniform", 64), 0);
  std::set<std::string> seen;
  for (Split split : {Split::kTrain, Split::kEvaluation}) {
    const Batch batch = data.batch(split, numbers(0, 5000));
    for (int64_t b = 0; b < 5000; ++b) {
      const int64_t* s = batch.input.const_data_ptr<int64_t>() + b * 64;
      seen.insert(std::string(s, s + 64));
    }
  }
  EXPECT_EQ(seen.size(), 10000u);
}

TEST(Loader, BatchesDoNotDependOnWorkersAndResumeAnywhere) {
  const Parity data(generator("iid_uniform"), 1);
  Loader plain(data, Split::kTrain, {32, 0});
  for (int64_t i = 0; i < 5; ++i) plain.next();
  const Batch sixth = plain.next();
  for (int64_t workers : {0, 1, 3}) {
    EXPECT_TRUE(equal(Loader(data, Split::kTrain, {32, workers}, 5).next(), sixth)) << workers;
    Loader moved(data, Split::kTrain, {32, workers});
    moved.next();
    moved.seek(5);
    EXPECT_TRUE(equal(moved.next(), sixth)) << workers;
    EXPECT_EQ(moved.position(), 6);
  }
}

TEST(Loader, EvaluationCoversTheSplitOnceAndStops) {
  ParityConfig config = generator("iid_uniform");
  config.evaluation_examples = 70;
  const Parity data(config, 1);
  for (int64_t workers : {0, 2}) {
    Loader loader(data, Split::kEvaluation, {32, workers});
    ASSERT_EQ(loader.batches(), 3);
    int64_t seen = 0;
    for (int64_t i = 0; i < 3; ++i) seen += loader.next().size();
    EXPECT_EQ(seen, 70);
  }
}

}  // namespace
}  // namespace adatape
