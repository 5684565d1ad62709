#include "csrc/nn/feed_forward.h"

#include <ATen/record_function.h>
#include <torch/torch.h>

#include "csrc/nn/init.h"

namespace adatape::nn {

FeedForwardImpl::FeedForwardImpl(int64_t dim, int64_t hidden, Activation activation) : activation(activation) {
  fc1 = register_module("fc1", xavier_linear(dim, activation == Activation::kGlu ? 2 * hidden : hidden));
  fc2 = register_module("fc2", xavier_linear(hidden, dim));
  torch::nn::init::normal_(fc1->bias, 0, 1e-6);
  torch::nn::init::normal_(fc2->bias, 0, 1e-6);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x_TD) {
  RECORD_USER_SCOPE("feed_forward");
  const at::Tensor up = fc1(x_TD);
  if (activation == Activation::kGlu) return fc2(torch::glu(up, -1));
  return fc2(torch::gelu(up, activation == Activation::kGeluTanh ? "tanh" : "none"));
}

}  // namespace adatape::nn
