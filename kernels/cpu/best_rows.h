// The K best of many scored rows, and the set of rows that may still be read.
#pragma once

#include "kernels/cpu/simd.h"

namespace adatape::kernels {
namespace {

/// Rows of a bank, one bit each.
class RowSet {
 public:
  explicit RowSet(uint64_t* words) : words_(words) {}

  /// Words for n rows and one more, so that lanes() may look past the end.
  static int64_t words(int64_t n) { return n / 64 + 2; }

  /// The rows 0 .. n without those that are blocked (or null); returns how many.
  int64_t mark(int64_t n, const uint8_t* blocked) {
    std::memset(words_, 0, size_t(words(n)) * 8);
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      const bool available = !(blocked && blocked[i]);
      words_[i / 64] |= uint64_t(available) << i % 64;
      count += available;
    }
    return count;
  }

  void remove(int64_t row) { words_[row / 64] &= ~(uint64_t(1) << row % 64); }

  /// One bit for each lane of a vector of the rows from `first` on, a multiple of the lanes.
  template <class A>
  uint32_t lanes(int64_t first) const {
    return uint32_t(words_[first / 64] >> first % 64) & ((uint32_t(1) << kLanes<A>)-1);
  }

 private:
  uint64_t* words_;
};

/// (score descending, index ascending), NaN before everything: it must reach the loss, not hide.
template <class A>
bool ranks_before(A a, A b) {
  return a != a ? b == b : a > b;
}

/// The K best rows offered, best first. Offers come in ascending index order, so equal scores keep
/// their order by themselves.
template <class A>
struct BestRows {
  A* score;
  int32_t* row;
  int64_t most, found;

  /// The lanes of `score` with a bit in `available` are offered as the rows first, first + 1, ...
  void offer(Vector<A> scores, int64_t first, uint32_t available) {
    uint32_t lanes = available;
    // NaN passes the comparison, so that it is ranked.
    if (found == most) lanes &= ~lane_bits<A>(scores <= score[found - 1]);
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes);
      insert(scores[lane], int32_t(first + lane));
    }
  }

 private:
  void insert(A s, int32_t i) {
    if (found == most && !ranks_before(s, score[found - 1])) return;
    int64_t place = found < most ? found++ : found - 1;
    for (; place > 0 && ranks_before(s, score[place - 1]); --place) {
      score[place] = score[place - 1];
      row[place] = row[place - 1];
    }
    score[place] = s;
    row[place] = i;
  }
};

}  // namespace
}  // namespace adatape::kernels
