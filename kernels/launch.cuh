// What the launchers share: from run-time settings to template arguments, and shapes of grids.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/device.h"

namespace adatape::kernels {

/// Calls f with a value of the C++ type that `dtype` names. Throws for float64: no CUDA kernel has
/// it.
template <class F>
void with_element(DType dtype, F f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float{});
    case DType::kBFloat16:
      return f(BFloat16{});
    case DType::kFloat16:
      return f(Float16{});
    case DType::kFloat64:
      break;
  }
  throw std::runtime_error("[cuda] the kernels have no float64; use the CPU");
}

template <bool kValue>
struct Constant {
  static constexpr bool value = kValue;
};

/// Calls f with the condition as a compile-time constant.
template <class F>
void with_constant(bool condition, F f) {
  if (condition) {
    f(Constant<true>{});
  } else {
    f(Constant<false>{});
  }
}

constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A grid of blocks, with a second dimension for the pieces of a row. Throws if CUDA has no such
/// grid.
inline dim3 grid_of(int64_t blocks, int64_t pieces = 1) {
  if (blocks > 0x7fffffff || pieces > 0xffff) {
    throw std::runtime_error("[cuda] a grid of " + std::to_string(blocks) + " x " +
                             std::to_string(pieces) + " blocks is too large");
  }
  return dim3(unsigned(blocks), unsigned(pieces));
}

/// The same with a warp, not a block, for each of `warps`; kernels may count them in 32 bits.
inline dim3 grid_of_warps(int64_t warps, int warps_per_block, int64_t pieces = 1) {
  grid_of(warps);
  return grid_of(ceil_divide(warps, warps_per_block), pieces);
}

/// An unsigned type of as many bytes as an element.
template <size_t kBytes>
struct BitsOf {
  using type = uint32_t;
};
template <>
struct BitsOf<2> {
  using type = uint16_t;
};

/// Whether rows that start at p, a stride apart, can be read in pieces of 16 bytes.
inline bool rows_are_wide(const void* p, int64_t row_stride, int64_t width, size_t element_bytes) {
  const auto multiple = [&](int64_t elements) {
    return elements * int64_t(element_bytes) % 16 == 0;
  };
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && multiple(row_stride) && multiple(width);
}

}  // namespace adatape::kernels
