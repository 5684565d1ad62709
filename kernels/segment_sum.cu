#include "kernels/segment_sum.cuh"

namespace adatape::kernels {
namespace {

/// Calls f with values of the two types: equal ones, or sums in float rounded to `out`.
template <class F>
void with_elements(DType source, DType out, F f) {
  if (source != out && source != DType::kFloat32) {
    throw std::runtime_error("[cuda] sums of 16-bit rows are stored in the same type");
  }
  with_element(out,
               [&](auto element) { source == out ? f(element, element) : f(float{}, element); });
}

}  // namespace

namespace cuda {

void segment_sum(const SegmentSum& p, int64_t segments, Stream stream) {
  if (segments == 0 || p.width == 0) return;
  with_elements(p.source_dtype, p.out_dtype, [&](auto source, auto out) {
    using Source = decltype(source);
    using Out = decltype(out);
    const bool wide = rows_are_wide(p.source, p.source_row_stride, p.width, sizeof(Source)) &&
                      rows_are_wide(p.out, p.out_row_stride, p.width, sizeof(Out));
    with_constant(wide, [&](auto is_wide) {
      constexpr bool kWide = decltype(is_wide)::value;
      const int64_t pieces = ceil_divide(p.width, kWarp * kLaneColumns<kWide, Source, Out>);
      launch(grid_of_warps(segments, kSumWarps, pieces), kSumThreads, 0, stream,
             &sum_segments<Source, Out, kWide>, p, segments);
    });
  });
}

void tape_scatter(const TapeScatter& p, Stream stream) {
  if (p.batch * p.rows * p.width == 0) return;
  with_elements(p.source_dtype, p.out_dtype, [&](auto source, auto out) {
    using Source = decltype(source);
    using Out = decltype(out);
    const bool wide = rows_are_wide(p.source, p.source_row_stride, p.width, sizeof(Source)) &&
                      rows_are_wide(p.out, p.width, p.width, sizeof(Out));
    with_constant(wide, [&](auto is_wide) {
      constexpr bool kWide = decltype(is_wide)::value;
      const int64_t pieces = ceil_divide(p.width, kWarp * kLaneColumns<kWide, Source, Out>);
      launch(grid_of_warps(p.batch * p.rows, kSumWarps, pieces), kSumThreads, 0, stream,
             &scatter_tape<Source, Out, kWide>, p);
    });
  });
}

}  // namespace cuda
}  // namespace adatape::kernels
