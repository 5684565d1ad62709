#include "trainers/named_tensors.h"

namespace adatape {

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& parameter : module.named_parameters())
    state.push_back({parameter.key(), parameter.value()});
  for (const auto& buffer : module.named_buffers()) state.push_back({buffer.key(), buffer.value()});
  return state;
}

std::vector<at::Tensor> tensors_of(const NamedTensors& named) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(named.size());
  for (const NamedTensor& n : named) tensors.push_back(n.tensor);
  return tensors;
}

}  // namespace adatape
