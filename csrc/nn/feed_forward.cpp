#include "csrc/nn/feed_forward.h"

#include <ATen/record_function.h>
#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/linear.h"
#include "csrc/ops/gelu_tanh.h"

namespace adatape::nn {

FeedForwardImpl::FeedForwardImpl(int64_t dim, int64_t hidden, Activation activation)
    : activation(activation) {
  fc1 = register_module("fc1",
                        xavier_linear(dim, activation == Activation::kGlu ? 2 * hidden : hidden));
  fc2 = register_module("fc2", xavier_linear(hidden, dim));
  torch::nn::init::normal_(fc1->bias, 0, 1e-6);
  torch::nn::init::normal_(fc2->bias, 0, 1e-6);
}

at::Tensor FeedForwardImpl::forward(const at::Tensor& x_TD) {
  RECORD_USER_SCOPE("feed_forward");
  const at::Tensor up = linear(x_TD, fc1);
  if (activation == Activation::kGlu) return linear(torch::glu(up, -1), fc2);
  return linear(activation == Activation::kGeluTanh ? ops::gelu_tanh(up) : torch::gelu(up), fc2);
}

}  // namespace adatape::nn
