#include "trainers/optimizer.h"

#include <torch/torch.h>

#include <algorithm>

namespace adatape {

AdamW::AdamW(const OptimizerConfig& config, const NamedTensors& parameters) : config_(config) {
  for (const NamedTensor& p : parameters) {
    if (!p.tensor.requires_grad()) continue;
    // Tokens and positions are [1, n, D]: like biases and norms, no matrices of a linear map.
    const bool matrix = p.tensor.dim() >= 2 && p.tensor.size(0) > 1;
    slots_.push_back({p.name, p.tensor, torch::zeros_like(p.tensor.detach()),
                      torch::zeros_like(p.tensor.detach()), torch::zeros({}, torch::kFloat),
                      config.decay == "all" || matrix});
  }
}

double AdamW::grad_norm() const {
  std::vector<at::Tensor> gradients;
  for (const Slot& s : slots_) {
    if (s.parameter.grad().defined()) gradients.push_back(s.parameter.grad());
  }
  if (gradients.empty()) return 0;
  return torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
}

void AdamW::step_group(bool decays, double lr, const std::optional<at::Tensor>& scale) {
  std::vector<at::Tensor> parameters, gradients, means, squares, steps;
  for (const Slot& s : slots_) {
    if (s.decays != decays || !s.parameter.grad().defined()) continue;
    parameters.push_back(s.parameter);
    gradients.push_back(s.parameter.grad());
    means.push_back(s.mean);
    squares.push_back(s.square);
    steps.push_back(s.steps);
  }
  if (parameters.empty()) return;
  at::_foreach_add_(steps, 1);
  at::_fused_adamw_(parameters, gradients, means, squares, {}, steps, lr, config_.beta1,
                    config_.beta2, decays ? config_.weight_decay : 0.0, config_.eps, false, false,
                    scale);
}

void AdamW::step(double lr, double grad_norm) {
  torch::NoGradGuard no_grad;
  std::optional<at::Tensor> scale;
  if (config_.clip_norm > 0 && grad_norm > config_.clip_norm) {
    scale = torch::full({}, grad_norm / config_.clip_norm, torch::kFloat);
  }
  step_group(true, lr, scale);
  step_group(false, lr, scale);
}

void AdamW::clear_gradients() {
  for (Slot& s : slots_) s.parameter.mutable_grad().reset();
}

NamedTensors AdamW::state() const {
  NamedTensors state;
  for (const Slot& s : slots_) {
    state.push_back({"exp_avg." + s.name, s.mean});
    state.push_back({"exp_avg_sq." + s.name, s.square});
    state.push_back({"step." + s.name, s.steps});
  }
  return state;
}

Ema::Ema(const EmaConfig& config, const NamedTensors& weights)
    : decay_(config.decay), source_(weights) {
  for (const NamedTensor& w : weights) average_.push_back({w.name, w.tensor.detach().clone()});
}

void Ema::update() {
  torch::NoGradGuard no_grad;
  at::_foreach_lerp_(tensors_of(average_), tensors_of(source_), 1 - decay_);
}

void Ema::swap() {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < source_.size(); ++i) {
    const at::Tensor weight = source_[i].tensor.clone();
    source_[i].tensor.copy_(average_[i].tensor);
    average_[i].tensor.copy_(weight);
  }
}

}  // namespace adatape
