// The dialect that CUDA kernels are written in, and the only file that knows that two compilers
// read it: nvcc, for a device, and g++, which runs the same source on the host, one fiber per
// thread (kernels/emulation.h).
//
// A kernel is a `__global__ void` function or template. It is launched by launch(), takes dynamic
// shared memory by DYNAMIC_SHARED, and uses only what kernels/device/cuda.h and kernels/emulation.h
// both offer. Every function of its own is `__device__ __forceinline__`, so that the emulation sees
// each of its loads and stores.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// 16-bit elements as their bits; arithmetic is done in float (widen, narrow).
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

/// What a launcher may ask of the device that launches go to.
struct DeviceLimits {
  size_t shared_bytes;  // that one block may have
  int multiprocessors;
};

}  // namespace adatape::kernels

#if defined(__CUDACC__)
#include "kernels/device/cuda.h"
#else
#include "kernels/emulation.h"
#endif

namespace adatape::kernels {

__device__ __forceinline__ float widen(float x) { return x; }

template <class E>
__device__ __forceinline__ E narrow(float x);
template <>
__device__ __forceinline__ float narrow<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ BFloat16 narrow<BFloat16>(float x) {
  return {bfloat16_bits(x)};
}
template <>
__device__ __forceinline__ Float16 narrow<Float16>(float x) {
  return {float16_bits(x)};
}

__device__ __forceinline__ float widen(BFloat16 x) {
  return __uint_as_float(uint32_t(x.bits) << 16);
}
__device__ __forceinline__ float widen(Float16 x) { return float16_value(x.bits); }

/// Two neighbours of a fragment or a row: `low` has the smaller index.
template <class E>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  return uint32_t(narrow<E>(low).bits) | uint32_t(narrow<E>(high).bits) << 16;
}

/// Elements of type E in 16 bytes.
template <class E>
constexpr int kPer16Bytes = 16 / int(sizeof(E));

/// 16 bytes as float values, in order.
template <class E>
__device__ __forceinline__ void unpack(uint4 packed, float (&value)[kPer16Bytes<E>]) {
  const uint32_t word[4] = {packed.x, packed.y, packed.z, packed.w};
  if constexpr (sizeof(E) == 4) {
    for (int i = 0; i < 4; ++i) value[i] = __uint_as_float(word[i]);
  } else {
    for (int i = 0; i < 4; ++i) {
      value[2 * i] = widen(E{uint16_t(word[i])});
      value[2 * i + 1] = widen(E{uint16_t(word[i] >> 16)});
    }
  }
}

/// The inverse of unpack, rounding to nearest even.
template <class E>
__device__ __forceinline__ uint4 pack(const float (&value)[kPer16Bytes<E>]) {
  if constexpr (sizeof(E) == 4) {
    return make_uint4(__float_as_uint(value[0]), __float_as_uint(value[1]),
                      __float_as_uint(value[2]), __float_as_uint(value[3]));
  } else {
    return make_uint4(pack<E>(value[0], value[1]), pack<E>(value[2], value[3]),
                      pack<E>(value[4], value[5]), pack<E>(value[6], value[7]));
  }
}

}  // namespace adatape::kernels
