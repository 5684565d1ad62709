// The order of candidates as integers, and a warp's list of the best.
#include "kernels/ranking.cuh"

#include "tests/kernels/support.h"

namespace adatape::kernels {
namespace {

using namespace testing;

TEST(Ranking, KeysOrderLikeScoresThenRows) {
  const float infinity = HUGE_VALF, nan = std::nanf("");
  const std::vector<float> falling = {nan,  infinity, 3e38f,   1.5f,  1.0f,     1e-40f,
                                      0.0f, -1e-40f,  -1e-20f, -1.0f, -infinity};
  for (size_t i = 0; i < falling.size(); ++i) {
    for (size_t j = 0; j < falling.size(); ++j) {
      if (i < j) {
        EXPECT_GT(rank_key(falling[i], 0x7fffffff), rank_key(falling[j], 0));
      }
    }
    EXPECT_GT(rank_key(falling[i], 6), rank_key(falling[i], 7));
    EXPECT_GT(rank_key(falling[i], 0x7fffffff), 0u) << "0 stands for no row";
  }
}

TEST(Ranking, ZerosAreEqualAndNansToo) {
  EXPECT_EQ(rank_key(0.0f, 5), rank_key(-0.0f, 5));
  EXPECT_EQ(rank_key(std::nanf("1"), 5), rank_key(-std::nanf("2"), 5));
}

TEST(Ranking, KeysGiveScoreAndRowBack) {
  for (float score : {0.0f, 1.5f, -1.5f, 3e38f, -3e38f, 1e-40f, -1e-40f, HUGE_VALF, -HUGE_VALF}) {
    for (int64_t row : {0, 1, 77, 0x7fffffff}) {
      EXPECT_EQ(score_of(rank_key(score, row)), score);
      EXPECT_EQ(row_of(rank_key(score, row)), row);
    }
  }
  EXPECT_TRUE(std::isnan(score_of(rank_key(std::nanf(""), 3))));
}

/// Each lane offers kCount candidates in each of `rounds`; y gets the list.
template <int kCount>
__global__ void keep_best(const uint64_t* candidates, uint64_t* y, int rounds, int capacity) {
  uint64_t entry = 0, mine[kCount];
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < kCount; ++i) {
      mine[i] = candidates[(round * kWarp + lane_number()) * kCount + i];
    }
    offer(entry, mine, capacity);
  }
  y[lane_number()] = entry;
}

template <int kCount>
void expect_best(int rounds, int capacity, int present) {
  std::vector<uint64_t> candidates(rounds * kWarp * kCount);
  for (int i = 0; i < present; ++i) candidates[i] = rank_key(float(i * 7 % 11), i);
  std::mt19937 random(present);
  std::shuffle(candidates.begin(), candidates.end(), random);
  std::vector<uint64_t> sorted = candidates;
  std::sort(sorted.rbegin(), sorted.rend());
  for (Order order : kOrders) {
    Machine m({.order = order});
    uint64_t* y = m.output<uint64_t>("y", kWarp);
    launch(1, kWarp, 0, nullptr, &keep_best<kCount>, m.input("candidates", candidates), y, rounds,
           capacity);
    EXPECT_EQ(m.text(), "");
    for (int i = 0; i < capacity; ++i) EXPECT_EQ(y[i], sorted[i]) << i << " of " << capacity;
  }
}

TEST(Ranking, AListKeepsTheBestOfAllRounds) {
  for (int capacity : {1, 2, 5, 31, 32}) {
    for (int present : {0, 1, 3, 32, 90}) {
      expect_best<1>(3, capacity, present);
      expect_best<4>(1, capacity, present);
      expect_best<8>(2, capacity, present);
    }
  }
}

}  // namespace
}  // namespace adatape::kernels
