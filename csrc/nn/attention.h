// Multi-head self-attention over a ragged batch.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <optional>

#include "csrc/ops/ragged.h"

namespace adatape::nn {

/// The rows that ask, when not every row does: here, one row per example.
struct QueryRows {
  at::Tensor rows_B;  ///< int64 [B], packed row of each example's query
};

/// Parameters qkv [3D, D] (rows Q|K|V, head h at h*C .. h*C+C-1 of each) and proj [D, D], as
/// timm's.
struct AttentionImpl : torch::nn::Module {
  AttentionImpl(int64_t dim, int64_t heads);

  /// x's values normalised [T, D] -> [T, D]; with `only`, [B, D] for those rows (keys: all rows).
  at::Tensor forward(const ops::Ragged& x, const std::optional<QueryRows>& only = std::nullopt);

  int64_t heads;
  torch::nn::Linear qkv{nullptr}, proj{nullptr};
};
TORCH_MODULE(Attention);

}  // namespace adatape::nn
