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
  const Vector<float> twice = kTwiceRoot * x * (1 + kCube * x * x), most = Vector<float>{} + 80.0f;
  const Vector<float> slope = kTwiceRoot * (1 + 3 * kCube * x * x);
  const Vector<float> e = exponential(-twice > most ? most : -twice);
  const Vector<float> share = 1 / (1 + e);
  return share + x * slope * (share * (e * share));  // e share = 1 - share, without cancellation
}

/// out = f(x, y), by vectors.
template <class F>
void map(const float* x, const float* y, float* out, int64_t begin, int64_t end, F f) {
  int64_t i = begin;
  for (; i + kLanes<float> <= end; i += kLanes<float>)
    store(out + i, f(load<float>(x + i), load<float>(y + i)));
  if (i == end) return;
  const Vector<float> rest = f(load<float>(x + i, end - i), load<float>(y + i, end - i));
  std::memcpy(out + i, &rest, size_t(end - i) * sizeof(float));
}

}  // namespace

void gelu_tanh(const GeluTanh& p, int64_t begin, int64_t end) {
  if (p.upstream) {
    map(p.x, p.upstream, p.out, begin, end,
        [](auto x, auto upstream) { return gelu_gradient(x) * upstream; });
  } else {
    map(p.x, p.x, p.out, begin, end, [](auto x, auto) { return gelu(x); });
  }
}

}  // namespace adatape::kernels::ADATAPE_ISA
