#include "kernels/cpu/functions.h"
#include "kernels/cpu/next_query.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

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
