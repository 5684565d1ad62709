#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

// (1 + tanh(u)) / 2 is the logistic function of 2u: one exponential and one division, no tanh.
constexpr float kTwiceRoot = 1.5957691216057308f;  // 2 sqrt(2 / pi)
constexpr float kCube = 0.044715f;

Vector<float> gelu(Vector<float> x) {
  const Vector<float> twice = kTwiceRoot * x * (1 + kCube * x * x);
  return x / (1 + exponential(-twice));
}

Vector<float> gelu_gradient(Vector<float> x) {
  const Vector<float> twice = kTwiceRoot * x * (1 + kCube * x * x);
  const Vector<float> slope = kTwiceRoot * (1 + 3 * kCube * x * x);
  const Vector<float> share = 1 / (1 + exponential(-twice));
  return share + x * share * (1 - share) * slope;
}

}  // namespace

void gelu_tanh(const GeluTanh& p, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes<float>) {
    const int64_t n = end - i < kLanes<float> ? end - i : kLanes<float>;
    const bool whole = n == kLanes<float>;
    const Vector<float> x = whole ? load<float>(p.x + i) : load<float>(p.x + i, n);
    Vector<float> y;
    if (p.upstream) {
      y = gelu_gradient(x) * (whole ? load<float>(p.upstream + i) : load<float>(p.upstream + i, n));
    } else {
      y = gelu(x);
    }
    std::memcpy(p.out + i, &y, size_t(n) * sizeof(float));
  }
}

}  // namespace adatape::kernels::ADATAPE_ISA
