// Where an op's checked arguments run: a template parameter of the code that packs them, so that
// the order of arguments cannot drift between devices.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <cstdlib>

#include "kernels/stream.h"
#ifdef ADATAPE_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace adatape::ops {

/// The host reads every value before a kernel does.
struct Cpu {
  static constexpr bool kCuda = false;
  Cpu(const char*, const at::Tensor&) {}
  /// Tensors whose values are checked.
  static at::Tensor to_check(const at::Tensor& values) { return values; }
};

#ifdef ADATAPE_CUDA
/// The current stream of the argument's device. Values stay there, unchecked, since reading them
/// would wait for the device; ADATAPE_CHECK=1 does so all the same.
class Cuda {
 public:
  static constexpr bool kCuda = true;
  Cuda(const char* op, const at::Tensor& argument) : guard_(argument.device()) {
    TORCH_CHECK(argument.scalar_type() != at::kDouble, "[", op,
                "] float64 runs on a CPU only; use float32 on ", argument.device());
  }

  /// Undefined unless ADATAPE_CHECK asks for the check.
  static at::Tensor to_check(const at::Tensor& values) {
    static const bool wanted = [] {
      const char* setting = std::getenv("ADATAPE_CHECK");
      return setting && setting[0] == '1';
    }();
    return wanted ? values.cpu() : at::Tensor();
  }

  kernels::Stream stream() const { return c10::cuda::getCurrentCUDAStream().stream(); }

 private:
  c10::cuda::CUDAGuard guard_;
};
#endif

}  // namespace adatape::ops
