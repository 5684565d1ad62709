// Inputs of tape_select and what a loop in float64 or float makes of them (docs/ops.md); the
// kernels' tests compare with both.
#pragma once

#include <algorithm>
#include <numeric>

#include "kernels/tape_select.h"
#include "tests/kernels/support.h"

namespace adatape::kernels::testing {

struct SelectCase {
  int batch, rows, width, max_tokens, merge;
  double threshold = 2;
  double scale = 0.5;
  bool gini = true, average = true, shared = false;
  int padding = 0;       // elements between the rows of the bank
  int misalignment = 0;  // elements in front of the bank
  int gap = 0;           // elements between the banks
};

template <class E>
struct SelectData {
  SelectCase c;
  std::vector<E> query, keys;
  std::vector<int32_t> bank_length;  // empty: all rows
  std::vector<uint8_t> blocked;      // empty: none; [B, N], or [N] for shared_blocks
  bool shared_blocks = false;

  explicit SelectData(const SelectCase& c_, uint64_t seed = 1) : c(c_) {
    query = normal<E>(c.batch * c.width, seed);
    keys = normal<E>(c.misalignment + (c.shared ? 1 : c.batch) * batch_stride(), seed + 1);
  }

  int64_t row_stride() const { return c.width + c.padding; }
  int64_t batch_stride() const { return c.rows * row_stride() + c.gap; }
  E* key(int b, int row) {
    return &keys[c.misalignment + (c.shared ? 0 : b * batch_stride()) + row * row_stride()];
  }
  float key_at(int b, int row, int column) const {
    return widen(const_cast<SelectData*>(this)->key(b, row)[column]);
  }
  bool is_free(int b, int row) const {
    if (!bank_length.empty() && row >= bank_length[b]) return false;
    return blocked.empty() || !blocked[(shared_blocks ? 0 : b * c.rows) + row];
  }

  TapeSelect params(Machine& m) const {
    TapeSelect p{};
    p.dtype = TypeOf<E>::dtype;
    p.query = m.input("query", query);
    p.query_stride = c.width;
    p.keys = m.input("keys", keys) + c.misalignment;
    p.keys_batch_stride = c.shared ? 0 : batch_stride();
    p.keys_row_stride = row_stride();
    p.bank_length = bank_length.empty() ? nullptr : m.input("bank_length", bank_length);
    p.blocked = blocked.empty() ? nullptr : m.input("blocked", blocked);
    p.blocked_batch_stride = shared_blocks ? 0 : c.rows;
    p.batch = c.batch, p.rows = c.rows, p.width = c.width;
    p.max_tokens = c.max_tokens, p.merge = c.merge;
    p.threshold = c.threshold, p.scale = c.scale;
    p.gini = c.gini, p.average_query = c.average;
    p.index = m.output<int32_t>("index", slots());
    p.weight = m.output<float>("weight", slots());
    p.length = m.output<int32_t>("length", c.batch);
    p.ponder = m.output<float>("ponder", c.batch);
    return p;
  }
  int64_t slots() const { return int64_t(c.batch) * c.max_tokens * c.merge; }
};

struct Selected {
  std::vector<int32_t> index, length;
  std::vector<double> weight, ponder;
  double magnitude = 1;  // of the terms of a score inside the softmax
};

inline Selected selected(const TapeSelect& p) {
  const int64_t slots = p.batch * p.max_tokens * p.merge;
  return {to_vector(p.index, slots), to_vector(p.length, p.batch),
          doubles(static_cast<const float*>(p.weight), slots),
          doubles(static_cast<const float*>(p.ponder), p.batch), 1};
}

/// One example, in A. `follow`: rows that were read by another run, so that a difference in the
/// last bit does not become one of rows.
template <class A, class E>
void select_one(const SelectData<E>& d, int b, Selected& out, const Selected* follow) {
  const SelectCase& c = d.c;
  std::vector<A> q(c.width);
  for (int i = 0; i < c.width; ++i) q[i] = widen(d.query[b * c.width + i]);
  std::vector<int> free;
  for (int row = 0; row < c.rows; ++row) {
    if (d.is_free(b, row)) free.push_back(row);
  }
  A halting = 0, ponder = 0;
  int t = 0;
  for (; t < c.max_tokens && !free.empty(); ++t) {
    if (follow ? t >= follow->length[b] : t > 0 && halting >= A(c.threshold)) break;
    const int64_t out_first = (int64_t(b) * c.max_tokens + t) * c.merge;
    std::vector<A> score(c.rows);
    for (int row : free) {
      for (int i = 0; i < c.width; ++i) score[row] += q[i] * A(d.key_at(b, row, i));
    }
    std::vector<int> order = free;
    std::stable_sort(order.begin(), order.end(), [&](int x, int y) {
      return std::isnan(score[x]) ? !std::isnan(score[y]) : score[x] > score[y];
    });
    order.resize(std::min<size_t>(order.size(), c.merge));
    for (size_t k = 0; follow && k < order.size(); ++k) order[k] = follow->index[out_first + k];
    for (int row : order) {
      double terms = 0;
      for (int i = 0; i < c.width; ++i) terms += std::abs(double(q[i]) * d.key_at(b, row, i));
      if (std::isfinite(terms)) out.magnitude = std::max(out.magnitude, c.scale * terms);
    }
    A total = 0, squares = 0;
    std::vector<A> w;
    for (int row : order) {
      w.push_back(std::exp(A(c.scale) * (score[row] - score[order[0]])));
      total += w.back();
    }
    for (A& x : w) x /= total;
    for (A x : w) squares += x * x;
    std::vector<A> z(c.width);
    for (size_t k = 0; k < order.size(); ++k) {
      out.index[out_first + k] = order[k];
      out.weight[out_first + k] = w[k];
      for (int i = 0; i < c.width; ++i) z[i] += w[k] * A(d.key_at(b, order[k], i));
      free.erase(std::find(free.begin(), free.end(), order[k]));
    }
    for (int i = 0; i < c.width; ++i) q[i] = c.average ? (q[i] + z[i]) / 2 : z[i];
    halting += w[0];
    ponder += 1 - (c.gini ? squares : w[0]);
  }
  out.length[b] = t;
  out.ponder[b] = ponder;
}

template <class A, class E>
Selected reference_select(const SelectData<E>& d, const Selected* follow = nullptr) {
  Selected out{std::vector<int32_t>(d.slots(), -1), std::vector<int32_t>(d.c.batch),
               std::vector<double>(d.slots()), std::vector<double>(d.c.batch), 1};
  for (int b = 0; b < d.c.batch; ++b) select_one<A>(d, b, out, follow);
  return out;
}

/// The same rows as float64 chooses, and values as near to it as float's are.
inline void expect_selected(const Selected& x, const Selected& exact, const Selected& naive,
                            const std::string& what) {
  EXPECT_EQ(x.index, exact.index) << what;
  EXPECT_EQ(x.length, exact.length) << what;
  const auto compare = [&](const std::vector<double>& values, const std::vector<double>& reference,
                           const std::vector<double>& plain, double magnitude) {
    Sums sums(values.size());
    sums.exact = reference;
    sums.naive = plain;
    std::fill(sums.magnitude.begin(), sums.magnitude.end(), magnitude);
    expect_close(values, sums, TypeOf<float>::epsilon, what);
  };
  const int longest = exact.length.empty() ? 0 : *std::ranges::max_element(exact.length);
  compare(x.weight, exact.weight, naive.weight, exact.magnitude);
  compare(x.ponder, exact.ponder, naive.ponder, exact.magnitude * longest);
}

}  // namespace adatape::kernels::testing
