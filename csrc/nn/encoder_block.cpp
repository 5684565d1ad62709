#include "csrc/nn/encoder_block.h"

#include <torch/torch.h>

namespace adatape::nn {

EncoderBlockImpl::EncoderBlockImpl(const EncoderConfig& config, int64_t tape_ffn) {
  const auto norm = torch::nn::LayerNormOptions({config.dim}).eps(config.norm_eps);
  const Activation gelu = config.gelu == "tanh" ? Activation::kGeluTanh : Activation::kGelu;
  norm1 = register_module("norm1", torch::nn::LayerNorm(norm));
  attn = register_module("attn", Attention(config.dim, config.heads));
  norm2 = register_module("norm2", torch::nn::LayerNorm(norm));
  mlp = register_module("mlp", FeedForward(config.dim, config.mlp, gelu));
  if (tape_ffn > 0)
    tape_mlp = register_module("tape_mlp", FeedForward(config.dim, tape_ffn, Activation::kGlu));
}

at::Tensor EncoderBlockImpl::forward(const ops::Ragged& x) {
  ops::Ragged normed = x;
  normed.values_TD = norm1(x.values_TD);
  const at::Tensor y_TD = x.values_TD + attn(normed);
  const at::Tensor z_TD = norm2(y_TD);
  if (!tape_mlp) return y_TD + mlp(z_TD);
  const int64_t tape_rows = z_TD.size(0) - x.base_rows;
  return y_TD + torch::cat({mlp(z_TD.narrow(0, 0, x.base_rows)),
                            tape_mlp(z_TD.narrow(0, x.base_rows, tape_rows))});
}

at::Tensor EncoderBlockImpl::forward_only(const ops::Ragged& x, const QueryRows& only) {
  ops::Ragged normed = x;
  normed.values_TD = norm1(x.values_TD);
  const at::Tensor y_BD = x.values_TD.index_select(0, only.rows_B) + attn(normed, only);
  return y_BD + mlp(norm2(y_BD));
}

}  // namespace adatape::nn
