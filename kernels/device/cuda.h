// What nvcc makes of the dialect (kernels/device.h): thin wrappers around PTX and the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace adatape::kernels {

/// A pointer to the block's dynamic shared memory, aligned to 128 bytes.
#define DYNAMIC_SHARED(T, name)                                            \
  extern __shared__ __align__(128) unsigned char adatape_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(adatape_dynamic_shared)

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("[cuda] ") + what + ": " + cudaGetErrorString(status));
}

/// Limits of the current device. Throws std::runtime_error.
inline DeviceLimits device_limits() {
  int device = 0, shared = 0, processors = 0;
  check(cudaGetDevice(&device), "no current device");
  check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "shared memory limit");
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
        "number of multiprocessors");
  return {size_t(shared), processors};
}

/// Queues kernel(args...) on the stream; throws std::runtime_error if CUDA refuses. Empty grids are
/// the caller's to avoid: CUDA refuses them.
template <class... P, class... A>
void launch(dim3 grid, dim3 block, size_t shared_bytes, Stream stream, void (*kernel)(P...),
            const A&... args) {
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               int(shared_bytes)),
          "more shared memory than the device has");
  }
  std::tuple<P...> values(args...);
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {&value...};
        check(cudaLaunchKernel(function, grid, block, pointers, shared_bytes, stream), "launch");
      },
      values);
}

__device__ __forceinline__ uint16_t bfloat16_bits(float x) {
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
__device__ __forceinline__ uint16_t float16_bits(float x) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
__device__ __forceinline__ float float16_value(uint16_t bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}

/// 2^x, relative error 2^-22; subnormal results become 0.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 16 bytes of any memory at once; the address must be a multiple of 16.
__device__ __forceinline__ uint4 load_128(const void* source) {
  return *static_cast<const uint4*>(source);
}
__device__ __forceinline__ void store_128(void* destination, uint4 value) {
  *static_cast<uint4*>(destination) = value;
}

/// 16 bytes of global memory, or zeros if not valid (the source is then not read). A predicate and
/// no branch: several loads can be under way at once.
__device__ __forceinline__ uint4 load_global_128(const void* source, bool valid) {
  uint4 value;
  asm volatile(
      "{.reg .pred valid;\n"
      " setp.ne.b32 valid, %5, 0;\n"
      " mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;\n"
      " @valid ld.global.v4.b32 {%0, %1, %2, %3}, [%4];}"
      : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
      : "l"(source), "r"(int(valid))
      : "memory");
  return value;
}
/// One store, however the value was put together: the compiler would take a uint4 apart.
__device__ __forceinline__ void store_global_128(void* destination, uint4 value) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(destination), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return uint32_t(__cvta_generic_to_shared(p));
}

/// Starts a copy of 16 bytes from global to shared memory, or, if not valid, of zeros (the source
/// is then not read). Both addresses must be multiples of 16.
__device__ __forceinline__ void cp_async_16(void* destination, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(destination)),
               "l"(__cvta_generic_to_global(source)), "r"(valid ? 16 : 0)
               : "memory");
}
/// Makes a group of the copies that this thread has started since the last one.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most the N newest groups of this thread are still under way.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/// Four 8x8 matrices of 16-bit elements: lane 8i+r names row r of matrix i (16 bytes in shared
/// memory); register i of lane l gets elements 2(l%4) and 2(l%4)+1 of row l/4 of matrix i.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// The same with each matrix transposed: register i of lane l gets column l/4, rows 2(l%4), +1.
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d += a b for a [16, 16], b [16, 8] of E, d [16, 8] in float. With g = lane/4, t = lane%4 a lane
/// holds a: (g,2t) (g+8,2t) (g,2t+8) (g+8,2t+8); b: (2t,g) (2t+8,g), pairs along the inner
/// dimension; d: (g,2t) (g,2t+1) (g+8,2t) (g+8,2t+1).
template <class E>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]);
template <>
__device__ __forceinline__ void mma_m16n8k16<BFloat16>(float (&d)[4], const uint32_t (&a)[4],
                                                       const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ __forceinline__ void mma_m16n8k16<Float16>(float (&d)[4], const uint32_t (&a)[4],
                                                      const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace adatape::kernels
