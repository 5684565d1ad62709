// Vectors of the compiler (GCC and clang vector extensions), as wide as the instruction set being
// compiled. Everything is in an unnamed namespace, and kernels avoid the standard library's
// templates: an inline function compiled for AVX-512 must never be the copy that the linker keeps
// for a machine without it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/dtype.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace adatape::kernels {

/// Throws std::bad_alloc, from a file that is not compiled per instruction set.
[[noreturn]] void out_of_memory();

namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr int64_t kLanes = kVectorBytes / int64_t(sizeof(T));

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

/// The type that sums are kept in: double for double, else float.
template <class E>
struct AccumulatorOf {
  typedef float type;
};
template <>
struct AccumulatorOf<double> {
  typedef double type;
};
template <class E>
using Accumulator = typename AccumulatorOf<E>::type;

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline double widen(double x) { return x; }
inline float widen(float x) { return x; }
inline float widen(BFloat16 x) { return as_float(uint32_t(x.bits) << 16); }
inline float widen(Float16 x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // Scaling by 2^112 moves the exponent's bias and makes subnormals right.
  return as_float(sign | as_bits(as_float(magnitude << 13) * 0x1p112f));
}

inline void narrow(double x, double* out) { *out = x; }
inline void narrow(float x, float* out) { *out = x; }
inline void narrow(float x, BFloat16* out) {
  const uint32_t bits = as_bits(x);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  out->bits = nan ? 0x7fc0u : uint16_t((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
inline void narrow(float x, Float16* out) {
  const uint32_t bits = as_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to 2^16 or beyond
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: the addition rounds at 2^-24
    half = as_bits(as_float(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  out->bits = uint16_t(sign | half);
}

/// kLanes<A> elements from p, widened.
template <class A, class E>
inline Vector<A> load(const E* p) {
  Vector<A> v;
  if constexpr (sizeof(E) == sizeof(A)) {
    std::memcpy(&v, p, sizeof v);
  } else {
    for (int64_t i = 0; i < kLanes<A>; ++i) v[i] = widen(p[i]);
  }
  return v;
}

/// The first n < kLanes<A> elements from p, widened; zeros behind them.
template <class A, class E>
inline Vector<A> load(const E* p, int64_t n) {
  Vector<A> v{};
  for (int64_t i = 0; i < n; ++i) v[i] = widen(p[i]);
  return v;
}

template <class A>
inline void store(A* p, Vector<A> v) {
  std::memcpy(p, &v, sizeof v);
}

/// Integer vectors with as many lanes as Vector<A>: what its comparisons give.
template <class A>
using Integers = decltype(Vector<A>{} < Vector<A>{});

/// 0, 1, 2, ...
template <class A>
inline Integers<A> lane_numbers() {
  Integers<A> lanes;
  for (int i = 0; i < kLanes<A>; ++i) lanes[i] = i;
  return lanes;
}

/// Lane i of the result is lane from[i] of a, or lane from[i] - kLanes of b.
template <class A>
inline Vector<A> permute(Vector<A> a, Vector<A> b, Integers<A> from) {
#ifdef __clang__
  Vector<A> v;
  for (int64_t i = 0; i < kLanes<A>; ++i)
    v[i] = from[i] < kLanes<A> ? a[from[i]] : b[from[i] - kLanes<A>];
  return v;
#else
  return __builtin_shuffle(a, b, from);
#endif
}

/// The first n lanes of v (all if n is larger), `rest` in the others.
template <class A>
inline Vector<A> first_lanes(Vector<A> v, int64_t n, A rest) {
  const int count = n < kLanes<A> ? int(n) : int(kLanes<A>);
  return lane_numbers<A>() < count ? v : Vector<A>{} + rest;
}

/// One bit for each lane of a comparison.
template <class A>
inline uint32_t lane_bits(Integers<A> lanes) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(A) == 4)
    return _mm512_movepi32_mask((__m512i)lanes);
  else
    return _mm512_movepi64_mask((__m512i)lanes);
#elif defined(__AVX2__)
  if constexpr (sizeof(A) == 4)
    return uint32_t(_mm256_movemask_ps((__m256)lanes));
  else
    return uint32_t(_mm256_movemask_pd((__m256d)lanes));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<A>; ++i) bits |= uint32_t(lanes[i] & 1) << i;
  return bits;
#endif
}

/// Lanes combined pairwise in a fixed order; every lane holds the result.
template <class A, class F>
inline Vector<A> reduce(Vector<A> v, F combine) {
  for (int half = kLanes<A> / 2; half > 0; half /= 2)
    v = combine(v, permute<A>(v, v, lane_numbers<A>() ^ half));
  return v;
}

/// Lanes added in a fixed order.
template <class A>
inline A sum(Vector<A> v) {
  return reduce<A>(v, [](Vector<A> a, Vector<A> b) { return a + b; })[0];
}

/// The larger, lane by lane; b where either is NaN.
template <class A>
inline Vector<A> larger(Vector<A> a, Vector<A> b) {
  return a > b ? a : b;
}

/// Lane i of the result is the sum of vector i: kLanes sums for the price of a few, each in the
/// order of sum(). Overwrites v.
template <class A, int kHalf = kLanes<A> / 2>
[[gnu::always_inline]] inline Vector<A> sums(Vector<A>* v) {
  const Integers<A> lane = lane_numbers<A>();
  // Halves of a and b side by side: those that belong together are one addition apart.
  const Integers<A> lower = (lane & kHalf) != 0 ? lane - kHalf + int(kLanes<A>) : lane;
  const Integers<A> upper = (lane & kHalf) != 0 ? lane + int(kLanes<A>) : lane + kHalf;
#pragma GCC unroll 16
  for (int i = 0; i < kHalf; ++i)
    v[i] = permute<A>(v[i], v[i + kHalf], lower) + permute<A>(v[i], v[i + kHalf], upper);
  if constexpr (kHalf > 1)
    return sums<A, kHalf / 2>(v);
  else
    return v[0];
}

/// total[r] = x_i y[r]_i summed over i in the same lane (modulo the lanes), for R rows y at once.
template <class A, int R, class E1, class E2>
inline void lane_products(const E1* x, const E2* const (&y)[R], int64_t n, Vector<A>* total) {
  Vector<A> sums[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sums[r] = Vector<A>{};
  int64_t i = 0;
  for (; i + kLanes<A> <= n; i += kLanes<A>) {
    const Vector<A> part = load<A>(x + i);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] += part * load<A>(y[r] + i);
  }
  if (i < n) {
    const Vector<A> part = load<A>(x + i, n - i);
    for (int r = 0; r < R; ++r) sums[r] += part * load<A>(y[r] + i, n - i);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) total[r] = sums[r];
}

template <class A, class E1, class E2>
inline A dot(const E1* x, const E2* y, int64_t n) {
  Vector<A> total;
  const E2* const row[1] = {y};
  lane_products<A>(x, row, n, &total);
  return sum<A>(total);
}

/// y += a x
template <class A, class E>
inline void add_scaled(A a, const E* x, A* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<A> <= n; i += kLanes<A>) store(y + i, load<A>(y + i) + a * load<A>(x + i));
  for (; i < n; ++i) y[i] += a * widen(x[i]);
}

template <class A, class E>
inline void widen_row(const E* x, A* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<A> <= n; i += kLanes<A>) store(y + i, load<A>(x + i));
  for (; i < n; ++i) y[i] = widen(x[i]);
}

template <class A, class E>
inline void narrow_row(const A* x, E* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) narrow(x[i], y + i);
}

/// Scratch memory for one kernel call, aligned for the widest vector. Throws std::bad_alloc.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(
            std::aligned_alloc(64, (uint64_t(count) * sizeof(T) + 127) / 64 * 64))) {
    if (!data_) out_of_memory();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  operator T*() { return data_; }

 private:
  T* data_;
};

/// Room for n objects of T, made one by one, that need no destructor.
template <class T, int64_t n>
class Slots {
 public:
  T& operator[](int64_t i) { return reinterpret_cast<T*>(bytes_)[i]; }
  void* at(int64_t i) { return bytes_ + i * int64_t(sizeof(T)); }

 private:
  alignas(T) char bytes_[n * sizeof(T)];
};

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger_of(int64_t a, int64_t b) { return a < b ? b : a; }

/// n rounded up to whole vectors.
template <class A>
inline int64_t padded(int64_t n) {
  return (n + kLanes<A> - 1) / kLanes<A> * kLanes<A>;
}

/// Calls f with a value of the C++ type that `dtype` names.
template <class F>
inline void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float{});
    case DType::kFloat64:
      return f(double{});
    case DType::kBFloat16:
      return f(BFloat16{});
    case DType::kFloat16:
      return f(Float16{});
  }
}

}  // namespace
}  // namespace adatape::kernels
