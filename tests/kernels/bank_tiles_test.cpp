// The order of a bank's rows in shared memory: every unit has a place of its own, and threads that
// read one chunk of 8 neighbouring rows do not meet in a bank of the memory.
#include "kernels/bank_tiles.cuh"

#include <gtest/gtest.h>

#include <set>

namespace adatape::kernels {
namespace {

TEST(BankTiles, EachUnitHasItsPlace) {
  for (int chunks : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 32}) {
    const BankTiles tiles{.chunks = chunks, .rows = 40, .stages = 1, .wide = true};
    std::set<int> places;
    for (int row = 0; row < 40; ++row) {
      for (int chunk = 0; chunk < chunks; ++chunk) places.insert(unit_of(tiles, row, chunk));
    }
    EXPECT_EQ(places.size(), size_t(40 * chunks));
    EXPECT_EQ(*places.begin(), 0);
    EXPECT_EQ(*places.rbegin(), 40 * chunks - 1);
  }
}

// A unit is 16 bytes, and the banks of shared memory are as wide as 8 units.
TEST(BankTiles, EightRowsMeetEightBanks) {
  for (int chunks : {1, 2, 3, 4, 5, 7, 8, 9, 16, 24, 32}) {
    const BankTiles tiles{.chunks = chunks, .rows = 64, .stages = 1, .wide = true};
    for (int first = 0; first < 64; first += 8) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        std::set<int> banks;
        for (int row = first; row < first + 8; ++row) banks.insert(unit_of(tiles, row, chunk) % 8);
        EXPECT_EQ(banks.size(), 8u) << chunks << " chunks, chunk " << chunk;
      }
    }
  }
}

}  // namespace
}  // namespace adatape::kernels
