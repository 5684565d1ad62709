// What g++ makes of the dialect (kernels/device.h): the kernel's source runs on the host,
// unchanged, one fiber per thread, on the emulation::Machine that a test has made
// (kernels/emulation/machine.h).
//
// The source must be compiled with -fsanitize=thread,bounds, but linked without it: its loads and stores
// then call kernels/emulation/hooks.cpp, which checks each against a shadow memory. What a real
// device does in one instruction for a whole warp (shuffles, votes, matrix loads and products)
// waits here for all lanes that take part.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Blocks run one after another, so one copy is enough; thread-local, because then a single address
// range holds all of them and nothing else that kernels touch.
#define __shared__ static thread_local

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
constexpr uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
constexpr uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
constexpr float2 make_float2(float x, float y) { return {x, y}; }
constexpr float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace adatape::kernels::emulation {

using Site = std::source_location;

// Constant within a fiber, whatever happens in between: the compiler may keep them in registers.
__attribute__((const)) dim3 thread_index();
__attribute__((const)) dim3 block_index();
__attribute__((const)) dim3 block_size();
__attribute__((const)) dim3 grid_size();
void* dynamic_shared();

/// Replaces the `bytes` (4 or 8) at `value` by those of lane `source`, if that lies in [0, 32).
void shuffle(uint32_t mask, void* value, size_t bytes, int source, const Site& site);
/// Bits of the lanes of the mask whose predicate holds.
uint32_t ballot(uint32_t mask, bool predicate, const Site& site);
enum class Reduction { kAdd, kMin, kMax, kAnd, kOr, kXor };
uint32_t reduce(uint32_t mask, uint32_t value, Reduction kind, bool is_signed, const Site& site);
int lane();

template <class T>
T atomic_add(T* address, T value);
template <class T>
T atomic_max(T* address, T value);

void load_matrices(uint32_t (&r)[4], const void* row, bool transposed, const Site& site);
void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       float (*widen)(uint16_t), const Site& site);
void wait_for_copies(int newest);

/// The launch's shape, and how to call its kernel with arguments that were copied to `arguments`.
struct Launch {
  dim3 grid, block;
  size_t shared_bytes;
  const void* kernel;
  void (*call)(const void* kernel, void* arguments);
  const void* arguments;
  size_t argument_bytes;
};
void run(const Launch& launch);

template <class T>
T shuffle_value(uint32_t mask, T value, int source, const Site& site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  shuffle(mask, &value, sizeof value, source, site);
  return value;
}

}  // namespace adatape::kernels::emulation

#define threadIdx (::adatape::kernels::emulation::thread_index())
#define blockIdx (::adatape::kernels::emulation::block_index())
#define blockDim (::adatape::kernels::emulation::block_size())
#define gridDim (::adatape::kernels::emulation::grid_size())
#define DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::adatape::kernels::emulation::dynamic_shared())

namespace adatape::kernels {

using emulation::Site;

void __syncthreads(const Site& site = Site::current());
void __syncwarp(uint32_t mask = 0xffffffffu, const Site& site = Site::current());

template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32,
              const Site& site = Site::current()) {
  const int first = emulation::lane() & -width;
  return emulation::shuffle_value(mask, value, first | (source & (width - 1)), site);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32,
                  const Site& site = Site::current()) {
  const int lane = emulation::lane(), source = lane ^ bits;
  const bool inside = source < (lane & -width) + width;
  return emulation::shuffle_value(mask, value, inside ? source : lane, site);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                   const Site& site = Site::current()) {
  const int lane = emulation::lane(), source = lane + int(delta);
  const bool inside = source < (lane & -width) + width;
  return emulation::shuffle_value(mask, value, inside ? source : lane, site);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                 const Site& site = Site::current()) {
  const int lane = emulation::lane(), source = lane - int(delta);
  return emulation::shuffle_value(mask, value, source >= (lane & -width) ? source : lane, site);
}

inline uint32_t __ballot_sync(uint32_t mask, bool predicate, const Site& site = Site::current()) {
  return emulation::ballot(mask, predicate, site);
}
inline bool __any_sync(uint32_t mask, bool predicate, const Site& site = Site::current()) {
  return emulation::ballot(mask, predicate, site) != 0;
}
inline bool __all_sync(uint32_t mask, bool predicate, const Site& site = Site::current()) {
  return emulation::ballot(mask, predicate, site) == mask;
}

#define ADATAPE_REDUCE(name, kind)                                                \
  template <class T>                                                              \
  T name(uint32_t mask, T value, const Site& site = Site::current()) {            \
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);                       \
    return T(emulation::reduce(mask, uint32_t(value), emulation::Reduction::kind, \
                               std::is_signed_v<T>, site));                       \
  }
ADATAPE_REDUCE(__reduce_add_sync, kAdd)
ADATAPE_REDUCE(__reduce_min_sync, kMin)
ADATAPE_REDUCE(__reduce_max_sync, kMax)
ADATAPE_REDUCE(__reduce_and_sync, kAnd)
ADATAPE_REDUCE(__reduce_or_sync, kOr)
ADATAPE_REDUCE(__reduce_xor_sync, kXor)
#undef ADATAPE_REDUCE

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return emulation::atomic_add(address, value);
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return emulation::atomic_max(address, value);
}

/// 16 bytes of any memory at once; the address must be a multiple of 16.
uint4 load_128(const void* source);
void store_128(void* destination, uint4 value);
/// The same for global memory; if not valid, zeros, and the source is not read.
uint4 load_global_128(const void* source, bool valid);
void store_global_128(void* destination, uint4 value);

/// The destination is poison until this thread waits, as the device promises no more.
void cp_async_16(void* destination, const void* source, bool valid);
void cp_async_commit();
template <int N>
void cp_async_wait() {
  emulation::wait_for_copies(N);
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, const Site& site = Site::current()) {
  emulation::load_matrices(r, row, false, site);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row,
                              const Site& site = Site::current()) {
  emulation::load_matrices(r, row, true, site);
}

uint16_t bfloat16_bits(float x);
uint16_t float16_bits(float x);
float bfloat16_value(uint16_t bits);
float float16_value(uint16_t bits);

template <class E>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  const Site& site = Site::current()) {
  constexpr bool kHalf = std::is_same_v<E, Float16>;
  static_assert(kHalf || std::is_same_v<E, BFloat16>);
  emulation::multiply_matrices(d, a, b, kHalf ? float16_value : bfloat16_value, site);
}

inline float fast_exp2(float x) { return std::exp2(x); }
inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline int __popc(uint32_t x) { return std::popcount(x); }
inline int __clz(uint32_t x) { return std::countl_zero(x); }
inline int __ffs(uint32_t x) { return x ? std::countr_zero(x) + 1 : 0; }
using std::max;
using std::min;

/// Limits of the current Machine.
DeviceLimits device_limits();

/// Runs the kernel to its end on the current Machine, which collects what it finds. Throws
/// std::runtime_error without a Machine or for a shape that CUDA would refuse.
template <class... P, class... A>
void launch(dim3 grid, dim3 block, size_t shared_bytes, Stream, void (*kernel)(P...),
            const A&... args) {
  using Arguments = std::tuple<P...>;
  const Arguments arguments(args...);
  const auto call = [](const void* function, void* copied) {
    std::apply(reinterpret_cast<void (*)(P...)>(const_cast<void*>(function)),
               *static_cast<Arguments*>(copied));
  };
  emulation::run({grid, block, shared_bytes, reinterpret_cast<const void*>(kernel), call,
                  &arguments, sizeof arguments});
}

}  // namespace adatape::kernels
