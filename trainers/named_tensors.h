// Tensors with names: parameters, averages and optimiser state, as checkpoints store them.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <vector>

namespace adatape {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};
using NamedTensors = std::vector<NamedTensor>;

/// Parameters, then buffers, by name; a parameter that several modules share appears once.
NamedTensors state_of(const torch::nn::Module& module);

/// The tensors alone, in the same order.
std::vector<at::Tensor> tensors_of(const NamedTensors& named);

}  // namespace adatape
