#include "csrc/nn/init.h"

#include <torch/torch.h>

#include <cmath>

namespace adatape::nn {
namespace {

// Standard deviation of a unit normal cut at +-2: dividing by it keeps the variance (flax's
// lecun_normal).
constexpr double kTruncatedDeviation = 0.87962566103423978;

torch::nn::Linear with_zero_bias(int64_t in, int64_t out) {
  torch::nn::Linear linear(in, out);
  torch::nn::init::zeros_(linear->bias);
  return linear;
}

}  // namespace

torch::nn::Linear xavier_linear(int64_t in, int64_t out, int64_t parts) {
  torch::nn::Linear linear = with_zero_bias(in, out);
  for (at::Tensor& part : linear->weight.detach().chunk(parts))
    torch::nn::init::xavier_uniform_(part);
  return linear;
}

torch::nn::Linear lecun_linear(int64_t in, int64_t out) {
  torch::nn::Linear linear = with_zero_bias(in, out);
  const double deviation = 1 / std::sqrt(double(in)) / kTruncatedDeviation;
  torch::NoGradGuard no_grad;
  // Redrawing the tails is the exact truncation; about one value in twenty is redrawn each round.
  linear->weight.normal_(0, deviation);
  for (at::Tensor out_of_range = linear->weight.abs() > 2 * deviation;
       out_of_range.any().item<bool>(); out_of_range = linear->weight.abs() > 2 * deviation) {
    linear->weight.copy_(
        torch::where(out_of_range, torch::randn_like(linear->weight) * deviation, linear->weight));
  }
  return linear;
}

torch::nn::Linear zero_linear(int64_t in, int64_t out) {
  torch::nn::Linear linear = with_zero_bias(in, out);
  torch::nn::init::zeros_(linear->weight);
  return linear;
}

}  // namespace adatape::nn
