// GELU in its tanh approximation (JAX's default), for float32 on the CPU: a vector exponential in
// place of the tanh that at::gelu calls (measured: CONTRIBUTING.md, "Choices").
#pragma once

#include <ATen/core/Tensor.h>

namespace adatape::ops {

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) of any shape; float32 on the CPU goes to our
/// kernel, all else to at::gelu.
at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace adatape::ops
