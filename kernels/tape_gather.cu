#include "kernels/tape_gather.cuh"

namespace adatape::kernels::cuda {

void tape_gather(const TapeGather& p, Stream stream) {
  if (p.capacity == 0 || p.width == 0) return;
  with_element(p.dtype, [&](auto element) {
    using E = decltype(element);
    const bool wide = rows_are_wide(p.values, p.values_row_stride, p.width, sizeof(E)) &&
                      rows_are_wide(p.tape, p.values_batch_stride, p.width, sizeof(E));
    with_constant(wide, [&](auto is_wide) {
      constexpr bool kWide = decltype(is_wide)::value;
      const int64_t pieces = ceil_divide(p.width, kWarp * kLaneColumns<kWide, E>);
      launch(grid_of_warps(p.capacity, kTapeWarps, pieces), kTapeThreads, 0, stream,
             &gather_tape<E, kWide>, p);
    });
  });
}

void tape_gather_backward_weight(const TapeGatherBackwardWeight& p, Stream stream) {
  const TapeGather& f = p.forward;
  const int64_t steps = f.batch * f.max_tokens;
  if (steps * f.merge == 0) return;
  with_element(f.dtype, [&](auto element) {
    using E = decltype(element);
    const bool wide = rows_are_wide(f.values, f.values_row_stride, f.width, sizeof(E)) &&
                      rows_are_wide(p.grad_tape, p.grad_row_stride, f.width, sizeof(E)) &&
                      f.values_batch_stride * int64_t(sizeof(E)) % 16 == 0;
    with_constant(wide, [&](auto is_wide) {
      launch(grid_of_warps(steps, kTapeWarps), kTapeThreads, 0, stream,
             &gather_weight_gradient<E, decltype(is_wide)::value>, p);
    });
  });
}

}  // namespace adatape::kernels::cuda
