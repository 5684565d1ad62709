// Weight initialisations of the papers' JAX code [adatape §1.7].
#pragma once

#include <torch/nn/modules/linear.h>

namespace adatape::nn {

/// Xavier-uniform weight, zero bias; the weight's rows may hold `parts` matrices (Q|K|V), each on
/// its own fans.
torch::nn::Linear xavier_linear(int64_t in, int64_t out, int64_t parts = 1);

/// LeCun-normal weight (truncated at two standard deviations, variance kept), zero bias.
torch::nn::Linear lecun_linear(int64_t in, int64_t out);

/// Zero weight and bias: a head that starts undecided.
torch::nn::Linear zero_linear(int64_t in, int64_t out);

}  // namespace adatape::nn
