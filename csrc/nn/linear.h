// Linear layers through the faster of the two matrix products that LibTorch ships.
#pragma once

#include <torch/nn/modules/linear.h>

namespace adatape::nn {

/// x [T, in] -> x weight^T + bias [T, out]; weight [out, in], bias [out].
/// Float32 on the CPU goes to oneDNN, all else to at::linear: torch's own addmm takes MKL, which
/// runs its AVX2 code on processors that are not Intel's (measured: CONTRIBUTING.md, "Choices").
/// Same value up to rounding.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
at::Tensor linear(const at::Tensor& x, const torch::nn::Linear& layer);

}  // namespace adatape::nn
