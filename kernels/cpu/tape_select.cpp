#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

/// (score descending, index ascending), NaN before everything: it must reach the loss, not hide.
/// Candidates come in ascending index order, so equal scores keep their order by themselves.
template <class A>
bool ranks_before(A a, A b) {
  return a != a ? b == b : a > b;
}

/// The example's K best available rows, best first; returns how many there are (at most K).
template <class A, class E>
int64_t best_rows(const TapeSelect& p, const A* q, const E* keys, int64_t rows, const bool* used,
                  A* score, int32_t* row) {
  int64_t found = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (used[i]) continue;
    const A s = dot<A>(q, keys + i * p.keys_row_stride, p.width);
    if (found == p.merge && !ranks_before(s, score[found - 1])) continue;
    int64_t place = found < p.merge ? found++ : found - 1;
    for (; place > 0 && ranks_before(s, score[place - 1]); --place) {
      score[place] = score[place - 1];
      row[place] = row[place - 1];
    }
    score[place] = s;
    row[place] = int32_t(i);
  }
  return found;
}

/// w = softmax(scale * score); score[0] is the largest (or NaN).
template <class A>
void softmax(const A* score, int64_t n, A scale, A* w) {
  A total = 0;
  for (int64_t k = 0; k < n; ++k) total += w[k] = exponential(scale * (score[k] - score[0]));
  for (int64_t k = 0; k < n; ++k) w[k] /= total;
}

/// z = sum_k w_k key_k over the n rows read, then q <- (q + z) / 2, or z.
template <class A, class E>
void next_query(bool average, const E* keys, int64_t row_stride, const int32_t* row, const A* w,
                int64_t n, A* q, int64_t width) {
  const A keep = average ? A(0.5) : A(0), take = average ? A(0.5) : A(1);
  for (int64_t c = 0; c < width; ++c) q[c] *= keep;
  for (int64_t k = 0; k < n; ++k) add_scaled(take * w[k], keys + row[k] * row_stride, q, width);
}

/// Which rows of example b may be read, and how many those are.
int64_t mark_available(const TapeSelect& p, int64_t b, int64_t rows, bool* used) {
  const uint8_t* blocked = p.blocked ? p.blocked + b * p.blocked_batch_stride : nullptr;
  int64_t available = 0;
  for (int64_t i = 0; i < rows; ++i) available += !(used[i] = blocked && blocked[i]);
  return available;
}

template <class E, class A>
void select_example(const TapeSelect& p, int64_t b, A* q, A* score, bool* used) {
  const int64_t rows = p.bank_length ? p.bank_length[b] : p.rows;
  const E* keys = static_cast<const E*>(p.keys) + b * p.keys_batch_stride;
  int32_t* index = p.index + b * p.max_tokens * p.merge;
  A* weight = static_cast<A*>(p.weight) + b * p.max_tokens * p.merge;
  widen_row(static_cast<const E*>(p.query) + b * p.query_stride, q, p.width);

  int64_t available = mark_available(p, b, rows, used), t = 0;
  A halting = 0, ponder = 0;
  // The first step is always taken: in float a tiny threshold is 0.
  for (; t < p.max_tokens && available > 0 && (t == 0 || !(halting >= A(p.threshold))); ++t) {
    int32_t* row = index + t * p.merge;
    A* w = weight + t * p.merge;
    const int64_t n = best_rows(p, q, keys, rows, used, score, row);
    softmax(score, n, A(p.scale), w);
    A squares = 0;
    for (int64_t k = 0; k < n; ++k) {
      squares += w[k] * w[k];
      used[row[k]] = true;
    }
    next_query(p.average_query, keys, p.keys_row_stride, row, w, n, q, p.width);
    for (int64_t k = n; k < p.merge; ++k) row[k] = -1, w[k] = 0;
    ponder += 1 - (p.gini ? squares : w[0]);
    halting += w[0];
    available -= n;
  }
  for (int64_t k = t * p.merge; k < p.max_tokens * p.merge; ++k) index[k] = -1, weight[k] = 0;
  p.length[b] = int32_t(t);
  static_cast<A*>(p.ponder)[b] = ponder;
}

/// The recurrence in reverse (docs/ops.md): queries are recomputed from the saved weights.
template <class E, class A>
void backward_example(const TapeSelectBackward& p, int64_t b, A* queries, A* g, double* ga) {
  const int64_t C = p.width, K = p.merge, steps = p.length[b];
  const E* keys = static_cast<const E*>(p.keys) + b * p.keys_batch_stride;
  const int64_t first = b * p.max_tokens * K;
  const int32_t* index = p.index + first;
  const A* weight = static_cast<const A*>(p.weight) + first;
  const A* grad_weight = static_cast<const A*>(p.grad_weight) + first;
  const A grad_ponder = static_cast<const A*>(p.grad_ponder)[b];
  A* grad_selected = static_cast<A*>(p.grad_selected) + first * C;
  const A keep = p.average_query ? A(0.5) : A(0), take = p.average_query ? A(0.5) : A(1);

  widen_row(static_cast<const E*>(p.query) + b * p.query_stride, queries, C);
  for (int64_t t = 0; t + 1 < steps; ++t) {
    A* next = queries + (t + 1) * C;
    std::memcpy(next, next - C, size_t(C) * sizeof(A));
    const int32_t* row = index + t * K;
    int64_t n = 0;
    while (n < K && row[n] >= 0) ++n;
    next_query(p.average_query, keys, p.keys_row_stride, row, weight + t * K, n, next, C);
  }
  for (int64_t c = 0; c < C; ++c) g[c] = 0;
  for (int64_t t = steps - 1; t >= 0; --t) {
    const int32_t* row = index + t * K;
    const A* a = weight + t * K;
    const A* q = queries + t * C;
    double mean = 0, total = 0;
    int64_t n = 0;
    for (; n < K && row[n] >= 0; ++n) {
      ga[n] =
          double(grad_weight[t * K + n]) + take * dot<A>(keys + row[n] * p.keys_row_stride, g, C);
      if (p.gini)
        ga[n] -= 2.0 * a[n] * grad_ponder;
      else if (n == 0)
        ga[n] -= grad_ponder;
      mean += a[n] * ga[n];
      total += a[n];
    }
    mean /= total;
    for (int64_t k = 0; k < n; ++k) {
      A* out = grad_selected + (t * K + k) * C;
      const A gs = A(p.scale * a[k] * (ga[k] - mean));
      ga[k] = gs;
      for (int64_t c = 0; c < C; ++c) out[c] = take * a[k] * g[c] + gs * q[c];
    }
    for (int64_t c = 0; c < C; ++c) g[c] *= keep;
    for (int64_t k = 0; k < n; ++k) add_scaled(A(ga[k]), keys + row[k] * p.keys_row_stride, g, C);
  }
  narrow_row(g, static_cast<E*>(p.grad_query) + b * C, C);
}

}  // namespace

void tape_select(const TapeSelect& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using A = Accumulator<decltype(element)>;
    Scratch<A> q(p.width), score(p.merge);
    Scratch<bool> used(p.rows);
    for (int64_t b = begin; b < end; ++b)
      select_example<decltype(element), A>(p, b, q, score, used);
  });
}

void tape_select_backward(const TapeSelectBackward& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using A = Accumulator<decltype(element)>;
    Scratch<A> queries(p.max_tokens * p.width), g(p.width);
    Scratch<double> ga(p.merge);
    for (int64_t b = begin; b < end; ++b)
      backward_example<decltype(element), A>(p, b, queries, g, ga);
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA
