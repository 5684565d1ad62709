#include "kernels/tape_select.cuh"

#include "kernels/launch.cuh"

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

}  // namespace adatape::kernels::cuda
