// What every op shares: the checks at its entry, so that kernels never meet a bad pointer, and the launch.
// A failed check is one sentence that begins with the op's name in brackets.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "kernels/cpu/table.h"

namespace adatape::ops {

/// An op's tensor argument with the name that messages use.
struct Argument {
  const char* name;
  const at::Tensor& tensor;
};

/// All arguments live on the first one's device (the dispatcher does not check that); undefined ones pass.
void check_same_device(const char* op, std::initializer_list<Argument> arguments);

/// The argument has this element type and one of these ranks.
void check_tensor(const char* op, Argument argument, at::ScalarType type, std::initializer_list<int64_t> ranks);

/// Float32, float64, bfloat16 or float16, and one of these ranks.
void check_floating(const char* op, Argument argument, std::initializer_list<int64_t> ranks);

/// Dimension `dim` has the size that `meaning` (of another argument) demands.
void check_size(const char* op, Argument argument, int64_t dim, int64_t expected, const char* meaning);

/// The last dimension has stride 1 (or at most one element); other strides are free.
void check_dense_rows(const char* op, Argument argument);

/// int32 [batch + 1], contiguous, starting at >= first, never decreasing, ending at <= last.
void check_offsets(const char* op, Argument argument, int64_t batch, int64_t first, int64_t last);

/// The type that sums are kept in and weights are stored in: float64 for float64, else float32.
at::ScalarType accumulator(at::ScalarType type);

/// The kernels' tag for a floating type that has passed check_floating.
kernels::DType dtype(const at::Tensor& tensor);

/// The CPU kernels; an error if ADATAPE_CPU_ISA names a set that this machine does not run.
const kernels::CpuKernels& cpu_kernels(const char* op);

/// Runs kernel(params, begin, end) over `items` on as many threads as the work is worth.
/// cost: multiply-adds of an average item. Below 64 k multiply-adds a thread costs more than it saves
/// (docs/ops.md), and the item count alone never decides a result.
template <class Params>
void launch(void (*kernel)(const Params&, int64_t, int64_t), const Params& params, int64_t items, double cost) {
  constexpr double kWorthAThread = 65536;
  const int64_t grain = int64_t(std::max(1.0, kWorthAThread / std::max(cost, 1.0)));
  at::parallel_for(0, items, grain, [&](int64_t begin, int64_t end) { kernel(params, begin, end); });
}

}  // namespace adatape::ops
