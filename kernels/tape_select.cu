#include "kernels/tape_select.cuh"

#include "kernels/launch.cuh"
#include "kernels/tape_select_backward.cuh"

namespace adatape::kernels::cuda {

void tape_select(const TapeSelect& p, Stream stream) {
  if (p.batch == 0) return;
  const SelectPlan plan = plan_select(p, device_limits());
  with_element(p.dtype, [&](auto element) {
    using E = decltype(element);
    const auto kernel = plan.examples == 8   ? &select_tape<E, 8>
                        : plan.examples == 4 ? &select_tape<E, 4>
                                             : &select_tape<E, 1>;
    launch(grid_of(plan.blocks), kSelectThreads, plan.bytes, stream, kernel, p, plan);
  });
}

void tape_select_backward(const TapeSelectBackward& p, Stream stream) {
  if (p.batch == 0) return;
  const size_t bytes = p.merge * (sizeof(double) + sizeof(float)) + p.width * sizeof(float);
  with_element(p.dtype, [&](auto element) {
    launch(grid_of(p.batch), kBackwardThreads, bytes, stream, &select_backward<decltype(element)>,
           p);
  });
}

}  // namespace adatape::kernels::cuda
