// What the tests of the kernels share: sizes, random values, the orders of threads, and the measure
// of an error: how far a result is from float64, in units of what plain float32 would lose.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels::testing {

using emulation::Contents;
using emulation::Kind;
using emulation::Machine;
using emulation::Order;
using emulation::Settings;

constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

template <class E>
struct TypeOf;
template <>
struct TypeOf<float> {
  static constexpr DType dtype = DType::kFloat32;
  static constexpr double epsilon = 0x1p-24;
};
template <>
struct TypeOf<BFloat16> {
  static constexpr DType dtype = DType::kBFloat16;
  static constexpr double epsilon = 0x1p-9;
};
template <>
struct TypeOf<Float16> {
  static constexpr DType dtype = DType::kFloat16;
  static constexpr double epsilon = 0x1p-11;
};

/// Normal deviates, rounded to E.
template <class E>
std::vector<E> normal(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> deviate;
  std::vector<E> x(count);
  for (E& v : x) v = narrow<E>(deviate(random));
  return x;
}

template <class E>
std::vector<E> to_vector(const E* p, size_t count) {
  return std::vector<E>(p, p + count);
}

/// The bits, so that equal means equal, NaN included.
template <class E>
std::vector<uint32_t> bits(const E* p, size_t count) {
  std::vector<uint32_t> out(count);
  for (size_t i = 0; i < count; ++i) std::memcpy(&out[i], p + i, sizeof(E));
  return out;
}

inline bool same_bits(const std::vector<double>& x, const std::vector<double>& y) {
  return x.size() == y.size() && !std::memcmp(x.data(), y.data(), x.size() * sizeof(double));
}

/// Offsets [B + 1] of sequences of these lengths, from 0.
inline std::vector<int32_t> offsets_of(const std::vector<int>& lengths) {
  std::vector<int32_t> cu{0};
  for (int n : lengths) cu.push_back(cu.back() + n);
  return cu;
}

/// Batches of lengths around the edges of warps and tiles (kernels.md, section 7).
inline std::vector<std::vector<int>> batches_of_lengths() {
  return {{},           {0},          {1},          {0, 0, 0},        {5, 0, 3},
          {15, 16, 17}, {31, 32, 33}, {63, 64, 65}, {257, 1, 2, 0, 1}};
}

/// The largest |x - reference|; NaN and infinities must be the same in both.
inline double worst_error(const std::vector<double>& x, const std::vector<double>& reference) {
  EXPECT_EQ(x.size(), reference.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(x.size(), reference.size()); ++i) {
    if (x[i] == reference[i] || (std::isnan(x[i]) && std::isnan(reference[i]))) continue;
    const double error = std::abs(x[i] - reference[i]);
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) break;
  }
  return worst;
}

/// Sums of products as they should be, as a plain loop in float has them, and of absolute values.
struct Sums {
  std::vector<double> exact, naive, magnitude;

  explicit Sums(size_t count) : exact(count), naive(count), magnitude(count) {}
  void add(size_t i, float a, float b) {
    exact[i] += double(a) * b;
    naive[i] = float(naive[i]) + a * b;
    magnitude[i] += std::abs(double(a) * b);
  }
  /// The loop's results, rounded to E when it stores them.
  template <class E>
  Sums& stored_as() {
    for (double& x : naive) x = widen(narrow<E>(float(x)));
    return *this;
  }
};

/// x is at most twice as far from float64 as the plain loop is, or as one rounding at the size of
/// the terms would put it.
inline void expect_close(const std::vector<double>& x, const Sums& sums, double epsilon,
                         const std::string& what) {
  double largest = 0;
  for (double m : sums.magnitude) {
    if (std::isfinite(m)) largest = std::max(largest, m);
  }
  const double unit = std::max(worst_error(sums.naive, sums.exact), epsilon * largest);
  EXPECT_LE(worst_error(x, sums.exact), 2 * unit) << what;
}

/// Values of any of the kernels' types as double.
template <class E>
std::vector<double> doubles(const E* p, size_t count) {
  std::vector<double> out(count);
  for (size_t i = 0; i < count; ++i) {
    if constexpr (std::is_floating_point_v<E>) {
      out[i] = p[i];
    } else {
      out[i] = widen(p[i]);
    }
  }
  return out;
}

}  // namespace adatape::kernels::testing
