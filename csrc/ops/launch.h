// What every op shares: the checks at its entry, so that kernels never meet a bad pointer, and the
// launch. A failed check is one sentence that begins with the op's name in brackets. All checks but
// that of the offsets' values read no data and take symbolic sizes, so the Meta kernels run them
// too.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/boxing/KernelFunction.h>

#include <algorithm>
#include <initializer_list>
#include <new>
#include <optional>

#include "kernels/cpu/table.h"

namespace adatape::ops {

/// An op's tensor argument with the name that messages use.
struct Argument {
  const char* name;
  const at::Tensor& tensor;
};

/// All arguments live on the first one's device (the dispatcher does not check that); of the
/// others, undefined ones pass.
void check_same_device(const char* op, std::initializer_list<Argument> arguments);

/// The argument has this element type and one of these ranks.
void check_tensor(const char* op, Argument argument, at::ScalarType type,
                  std::initializer_list<int64_t> ranks);

/// Float32, float64, bfloat16 or float16, and one of these ranks.
void check_floating(const char* op, Argument argument, std::initializer_list<int64_t> ranks);

/// Dimension `dim` has the size that `meaning` (of another argument) demands.
void check_size(const char* op, Argument argument, int64_t dim, const c10::SymInt& expected,
                const char* meaning);

/// The argument has the shape of `other`.
void check_same_shape(const char* op, Argument argument, Argument other);

/// The last dimension has stride 1 (or at most one element); other strides are free.
void check_dense_rows(const char* op, Argument argument);

/// int32 [batch + 1].
void check_offsets(const char* op, Argument argument, const c10::SymInt& batch);

/// The argument lies in memory without gaps.
void check_contiguous(const char* op, Argument argument);

/// Checked offsets on a CPU: from 0 on, never decreasing, ending at <= last; `rows`
/// names what ends there.
void check_offset_values(const char* op, Argument argument, int64_t last, const char* rows);

/// The type that sums are kept in and weights are stored in: float64 for float64, else float32.
at::ScalarType accumulator(at::ScalarType type);

/// The kernels' tag for a floating type that has passed check_floating.
kernels::DType dtype(const at::Tensor& tensor);

/// The CPU kernels; an error if ADATAPE_CPU_ISA names a set that this machine does not run.
const kernels::CpuKernels& cpu_kernels(const char* op);

template <class Params>
using Kernel = void (*kernels::CpuKernels::*)(const Params&, int64_t, int64_t);

/// Runs the kernel over `items` on as many threads as the work is worth.
/// cost: multiply-adds of an average item. Below 64 k multiply-adds a thread costs more than it
/// saves (docs/ops.md), and the item count alone never decides a result.
template <class Params>
void launch(const char* op, Kernel<Params> kernel, const Params& params, int64_t items,
            double cost) {
  constexpr double kWorthAThread = 65536;
  const int64_t grain = int64_t(std::max(1.0, kWorthAThread / std::max(cost, 1.0)));
  const auto run = cpu_kernels(op).*kernel;
  try {
    at::parallel_for(0, items, grain, [&](int64_t begin, int64_t end) { run(params, begin, end); });
  } catch (const std::bad_alloc&) {
    TORCH_CHECK(
        false, "[", op,
        "] not enough memory for a kernel's working copy of one item; use shorter sequences");
  }
}

/// Autograd kernel of the backward ops: they run as usual, and their results throw when
/// differentiated.
void differentiate_once(const c10::OperatorHandle& op, c10::DispatchKeySet keys, c10::Stack* stack);

}  // namespace adatape::ops
