// Element types that host code and kernels agree on. Kernels see pointers and this tag, never
// tensors.
#pragma once

#include <cstdint>

namespace adatape::kernels {

enum class DType : int8_t { kFloat32, kFloat64, kBFloat16, kFloat16 };

}  // namespace adatape::kernels
