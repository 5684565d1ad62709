// GELU in its tanh approximation, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), and its
// gradient.
#pragma once

#include <cstdint>

namespace adatape::kernels {

/// float32, dense. With `upstream` the gradient: out = upstream * gelu'(x).
struct GeluTanh {
  const float* x;
  const float* upstream;  // null: forward
  float* out;
};

}  // namespace adatape::kernels
