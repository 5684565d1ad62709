// Elementary functions on vectors of the compiler. Float: polynomials; double: the C library.
#pragma once

#include "kernels/cpu/simd.h"

namespace adatape::kernels {
namespace {

inline double exponential(double x) { return __builtin_exp(x); }
inline float exponential(float x) { return __builtin_expf(x); }

/// e 2^k for whole k, NaN where either is; below the smallest float 0 or nearly so.
#ifdef __AVX512F__
inline Vector<float> times_power(Vector<float> e, Vector<float> k) {
  return _mm512_maskz_scalef_ps(__mmask16(-1), e, k);  // the unmasked one warns in GCC 12
}
#else
inline Vector<float> times_power(Vector<float> e, Vector<float> k) {
  // Two factors, because 2^-127 and less has no normal float.
  const Integers<float> whole =
      __builtin_convertvector(k == k ? k : Vector<float>{}, Integers<float>);
  const Integers<float> half = whole >> 1;
  const Integers<float> bits[2] = {(half + 127) << 23, (whole - half + 127) << 23};
  Vector<float> factors[2];
  std::memcpy(factors, bits, sizeof bits);
  return e * factors[0] * factors[1];
}
#endif

/// 2^k e^r with |r| <= ln2/2 and the Taylor polynomial of degree 7: relative error below 2e-7 for
/// normal results. Arguments are held between -104 (0) and 89 (infinity); NaN stays NaN.
inline Vector<float> exponential(Vector<float> v) {
  const Vector<float> low = Vector<float>{} - 104.0f, high = Vector<float>{} + 89.0f;
  v = v < low ? low : v;  // this way round NaN passes
  v = v > high ? high : v;
  const Vector<float> k = (v * 1.44269504f + 12582912.0f) - 12582912.0f;  // round to nearest
  const Vector<float> r = (v - k * 0.693359375f) + k * 2.12194440e-4f;
  Vector<float> e = Vector<float>{} + 1.0f / 5040;
  e = e * r + 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  return times_power(e, k);
}
inline Vector<double> exponential(Vector<double> v) {
  for (int64_t i = 0; i < kLanes<double>; ++i) v[i] = exponential(v[i]);
  return v;
}

/// ln(2^k m) = k ln2 + 2 artanh((m - 1) / (m + 1)) with m in [1/sqrt2, sqrt2]: relative error below
/// 2e-7. For normal positive numbers; NaN stays NaN, infinity gives infinity.
inline Vector<float> natural_log(Vector<float> v) {
  Integers<float> bits;
  std::memcpy(&bits, &v, sizeof bits);
  const Integers<float> k = (bits - 0x3f3504f3) >> 23;  // 1/sqrt2
  bits -= k << 23;
  Vector<float> m;
  std::memcpy(&m, &bits, sizeof m);
  const Vector<float> s = (m - 1.0f) / (m + 1.0f), z = s * s;
  Vector<float> series = Vector<float>{} + 2.0f / 9;
  series = series * z + 2.0f / 7;
  series = series * z + 2.0f / 5;
  series = series * z + 2.0f / 3;
  const Vector<float> whole = __builtin_convertvector(k, Vector<float>);
  const Vector<float> tail = whole * -2.12194440e-4f + series * z * s;
  const Vector<float> result = whole * 0.693359375f + (2.0f * s + tail);
  const Vector<float> infinity = Vector<float>{} + __builtin_inff();
  return v == v ? (v < infinity ? result : v) : v;
}
inline Vector<double> natural_log(Vector<double> v) {
  for (int64_t i = 0; i < kLanes<double>; ++i) v[i] = __builtin_log(v[i]);
  return v;
}

}  // namespace
}  // namespace adatape::kernels
