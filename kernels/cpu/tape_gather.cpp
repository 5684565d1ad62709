#include "kernels/cpu/functions.h"
#include "kernels/cpu/simd.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

template <class E, class A>
void gather_example(const TapeGather& p, int64_t b, A* row) {
  const E* values = static_cast<const E*>(p.values) + b * p.values_batch_stride;
  for (int64_t r = p.offsets[b]; r < p.offsets[b + 1]; ++r) {
    const int64_t first = (b * p.max_tokens + r - p.offsets[b]) * p.merge;
    for (int64_t d = 0; d < p.width; ++d) row[d] = 0;
    for (int64_t k = first; k < first + p.merge; ++k) {
      if (p.index[k] < 0) continue;
      add_scaled(static_cast<const A*>(p.weight)[k], values + p.index[k] * p.values_row_stride, row,
                 p.width);
    }
    narrow_row(row, static_cast<E*>(p.tape) + r * p.width, p.width);
  }
}

template <class E, class A = Accumulator<E>>
void weight_gradient(const TapeGatherBackwardWeight& p, int64_t b) {
  const TapeGather& f = p.forward;
  const E* values = static_cast<const E*>(f.values) + b * f.values_batch_stride;
  const int64_t first = b * f.max_tokens * f.merge;
  A* grad = static_cast<A*>(p.grad_weight) + first;
  const int64_t read = int64_t(f.offsets[b + 1] - f.offsets[b]) * f.merge;
  for (int64_t k = 0; k < f.max_tokens * f.merge; ++k) {
    const int32_t i = k < read ? f.index[first + k] : -1;
    if (i < 0) {
      grad[k] = 0;
      continue;
    }
    const E* upstream =
        static_cast<const E*>(p.grad_tape) + (f.offsets[b] + k / f.merge) * p.grad_row_stride;
    grad[k] = dot<A>(upstream, values + i * f.values_row_stride, f.width);
  }
}

template <class Source, class Out, class A>
void sum_segment(const SegmentSum& p, const A* scale, int64_t s, A* total) {
  for (int64_t d = 0; d < p.width; ++d) total[d] = 0;
  for (int64_t i = p.start[s]; i < p.start[s + 1]; ++i) {
    add_scaled(scale ? scale[i] : A(1),
               static_cast<const Source*>(p.source) + p.row[i] * p.source_row_stride, total,
               p.width);
  }
  const int64_t row = p.out_row ? p.out_row[s] : s;
  narrow_row(total, static_cast<Out*>(p.out) + row * p.out_row_stride, p.width);
}

}  // namespace

void tape_gather(const TapeGather& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using A = Accumulator<decltype(element)>;
    Scratch<A> row(p.width);
    for (int64_t b = begin; b < end; ++b) gather_example<decltype(element), A>(p, b, row);
  });
}

void tape_gather_backward_weight(const TapeGatherBackwardWeight& p, int64_t begin, int64_t end) {
  with_type(p.forward.dtype, [&](auto element) {
    for (int64_t b = begin; b < end; ++b) weight_gradient<decltype(element)>(p, b);
  });
}

void segment_sum(const SegmentSum& p, int64_t begin, int64_t end) {
  with_type(p.source_dtype, [&](auto source) {
    with_type(p.out_dtype, [&](auto out) {
      using A = Accumulator<decltype(source)>;
      if constexpr (sizeof(A) == sizeof(Accumulator<decltype(out)>)) {
        const A* scale;
        if constexpr (sizeof(A) == 8)
          scale = p.scale64;
        else
          scale = p.scale32;
        Scratch<A> total(p.width);
        for (int64_t s = begin; s < end; ++s) {
          sum_segment<decltype(source), decltype(out), A>(p, scale, s, total);
        }
      } else {
        std::abort();  // the host never mixes float64 with another type
      }
    });
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA
