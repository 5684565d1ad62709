#include "kernels/cpu/best_rows.h"
#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/next_query.h"
#include "kernels/cpu/product.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

/// w = softmax(scale * score); score[0] is the largest (or NaN).
template <class A>
void softmax(const A* score, int64_t n, A scale, A* w) {
  A total = 0;
  for (int64_t k = 0; k < n; ++k) total += w[k] = exponential(scale * (score[k] - score[0]));
  for (int64_t k = 0; k < n; ++k) w[k] /= total;
}

/// One example between its steps (recurrence: docs/ops.md, "tape_select").
template <class E, class A>
class Reading {
 public:
  Reading(const TapeSelect& p, int64_t b, A* query, A* scores, uint64_t* available)
      : p_(p),
        rows_(p.bank_length ? p.bank_length[b] : p.rows),
        keys_(static_cast<const E*>(p.keys) + b * p.keys_batch_stride),
        index_(p.index + b * p.max_tokens * p.merge),
        weight_(static_cast<A*>(p.weight) + b * p.max_tokens * p.merge),
        length_(p.length + b),
        ponder_out_(static_cast<A*>(p.ponder) + b),
        query_(query),
        scores_(scores),
        available_(available) {
    widen_row(static_cast<const E*>(p.query) + b * p.query_stride, query, p.width);
    left_ = available_.mark(rows_, p.blocked ? p.blocked + b * p.blocked_batch_stride : nullptr);
  }

  /// Whether another step is taken. The first always is: in float a tiny threshold is 0.
  bool goes_on() const {
    return step_ < p_.max_tokens && left_ > 0 && (step_ == 0 || !(halting_ >= A(p_.threshold)));
  }

  int64_t rows() const { return rows_; }
  const E* key(int64_t row) const { return keys_ + row * p_.keys_row_stride; }
  const A* query() const { return query_; }

  void begin_step() { best_ = {scores_, index_ + step_ * p_.merge, p_.merge, 0}; }

  /// The scores of the rows first .. first + lanes, of which those past the bank are ignored.
  void offer(Vector<A> score, int64_t first) {
    best_.offer(score, first, available_.lanes<A>(first));
  }

  void end_step() {
    int32_t* row = index_ + step_ * p_.merge;
    A* w = weight_ + step_ * p_.merge;
    const int64_t n = best_.found;
    softmax(scores_, n, A(p_.scale), w);
    A squares = 0;
    for (int64_t k = 0; k < n; ++k) {
      squares += w[k] * w[k];
      available_.remove(row[k]);
    }
    next_query(p_.average_query, keys_, p_.keys_row_stride, row, w, n, query_, p_.width);
    for (int64_t k = n; k < p_.merge; ++k) row[k] = -1, w[k] = 0;
    ponder_ += 1 - (p_.gini ? squares : w[0]);
    halting_ += w[0];
    left_ -= n;
    ++step_;
  }

  void finish() {
    for (int64_t k = step_ * p_.merge; k < p_.max_tokens * p_.merge; ++k)
      index_[k] = -1, weight_[k] = 0;
    *length_ = int32_t(step_);
    *ponder_out_ = ponder_;
  }

 private:
  const TapeSelect& p_;
  const int64_t rows_;
  const E* keys_;
  int32_t* index_;
  A* weight_;
  int32_t* length_;
  A* ponder_out_;
  A *query_, *scores_;
  RowSet available_;
  BestRows<A> best_{};
  int64_t left_, step_ = 0;
  A halting_ = 0, ponder_ = 0;
};

/// Scores a bank that is the example's own: as many rows at once as a vector has lanes, their sums
/// crossed over together.
template <class E, class A>
void read_own_bank(const TapeSelect& p, int64_t begin, int64_t end) {
  constexpr int64_t L = kLanes<A>, kRows = L < 4 ? L : 4;
  Scratch<A> query(p.width), scores(p.merge);
  Scratch<uint64_t> available(RowSet::words(p.rows));
  for (int64_t b = begin; b < end; ++b) {
    Reading<E, A> reading(p, b, query, scores, available);
    while (reading.goes_on()) {
      reading.begin_step();
      for (int64_t i = 0; i < reading.rows(); i += L) {
        Vector<A> products[L];
        for (int64_t r = 0; r < L; r += kRows) {
          const E* rows[kRows];
          for (int64_t j = 0; j < kRows; ++j)
            rows[j] = reading.key(smaller(i + r + j, reading.rows() - 1));
          lane_products<A>(reading.query(), rows, p.width, products + r);
        }
        reading.offer(sums<A>(products), i);
      }
      reading.end_step();
    }
    reading.finish();
  }
}

/// Examples that read the shared bank side by side.
constexpr int64_t kTogether = 64;

/// The shared bank, transposed panel by panel: [panel][C, panel rows].
template <class E, class A>
void pack_bank(const TapeSelect& p, int64_t panel, A* out) {
  const E* keys = static_cast<const E*>(p.keys);
  for (int64_t first = 0; first < p.rows; first += panel, out += padded<A>(p.width) * panel) {
    const int64_t count = p.rows - first < panel ? p.rows - first : panel;
    pack_transposed<A>(
        count, p.width, A(1), [&](int64_t i) { return keys + (first + i) * p.keys_row_stride; },
        out, panel);
  }
}

/// One step of the readings `active`: every panel of the bank meets all of them while it is near.
template <class E, class A>
void step_together(const TapeSelect& p, const A* bank, int64_t panel, Reading<E, A>** active,
                   int64_t count, A* queries, A* scores) {
  const int64_t W = padded<A>(p.width);
  for (int64_t e = 0; e < count; ++e) {
    active[e]->begin_step();
    std::memcpy(queries + e * W, active[e]->query(), size_t(p.width) * sizeof(A));
  }
  for (int64_t first = 0; first < p.rows; first += panel, bank += W * panel) {
    product<A>(count, panel, p.width, {queries, W, 1}, bank, panel, false, scores, panel);
    for (int64_t e = 0; e < count; ++e) {
      for (int64_t j = 0; j < panel && first + j < active[e]->rows(); j += kLanes<A>)
        active[e]->offer(load<A>(scores + e * panel + j), first + j);
    }
  }
  for (int64_t e = 0; e < count; ++e) active[e]->end_step();
}

template <class E, class A>
void read_shared_bank(const TapeSelect& p, int64_t begin, int64_t end) {
  constexpr int64_t kPanel = kTileVectors * kLanes<A>;
  const int64_t W = padded<A>(p.width), words = RowSet::words(p.rows);
  Scratch<A> bank((p.rows + kPanel) * W), query(kTogether * W), best(kTogether * p.merge);
  Scratch<A> queries(kTogether * W), scores(kTogether * kPanel);
  Scratch<uint64_t> available(kTogether * words);
  Slots<Reading<E, A>, kTogether> readings;
  pack_bank<E, A>(p, kPanel, bank);
  for (int64_t b = begin; b < end; b += kTogether) {
    const int64_t count = end - b < kTogether ? end - b : kTogether;
    Reading<E, A>* active[kTogether];
    for (int64_t e = 0; e < count; ++e)
      new (readings.at(e))
          Reading<E, A>(p, b + e, query + e * W, best + e * p.merge, available + e * words);
    for (;;) {
      int64_t running = 0;
      for (int64_t e = 0; e < count; ++e) {
        if (readings[e].goes_on()) active[running++] = &readings[e];
      }
      if (running == 0) break;
      step_together<E, A>(p, bank, kPanel, active, running, queries, scores);
    }
    for (int64_t e = 0; e < count; ++e) readings[e].finish();
  }
}

}  // namespace

void tape_select(const TapeSelect& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using E = decltype(element);
    if (p.shared)
      read_shared_bank<E, Accumulator<E>>(p, begin, end);
    else
      read_own_bank<E, Accumulator<E>>(p, begin, end);
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA
