// Two-layer feed-forward networks.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <string>

namespace adatape::nn {

enum class Activation { kGelu, kGeluTanh, kGlu };

/// fc2(act(fc1(x))); fc1 [M, D] for GELU, [2M, D] for GLU (first half times the sigmoid of the
/// second).
struct FeedForwardImpl : torch::nn::Module {
  FeedForwardImpl(int64_t dim, int64_t hidden, Activation activation);

  /// [T, D] -> [T, D]
  at::Tensor forward(const at::Tensor& x_TD);

  Activation activation;
  torch::nn::Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace adatape::nn
