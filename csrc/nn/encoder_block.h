// A pre-LN encoder block [adatape §1.2]: x += attention(LN(x)); x += ffn(LN(x)).
#pragma once

#include <torch/nn/modules/normalization.h>

#include <optional>

#include "csrc/nn/attention.h"
#include "csrc/nn/encoder_config.h"
#include "csrc/nn/feed_forward.h"
#include "csrc/ops/ragged.h"

namespace adatape::nn {

/// Parameters norm1, attn, norm2, mlp as timm's; tape_mlp (GLU) if tape_ffn > 0: the tape rows' own
/// network.
struct EncoderBlockImpl : torch::nn::Module {
  explicit EncoderBlockImpl(const EncoderConfig& config, int64_t tape_ffn = 0);

  /// x's new values [T, D].
  at::Tensor forward(const ops::Ragged& x);

  /// Only one base row per example is wanted (the class token before a head): new values [B, D].
  /// Equal to picking them out of forward(x); the other rows serve as keys and values, and cost
  /// nothing else.
  at::Tensor forward_only(const ops::Ragged& x, const QueryRows& only);

  torch::nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  Attention attn{nullptr};
  FeedForward mlp{nullptr}, tape_mlp{nullptr};
};
TORCH_MODULE(EncoderBlock);

}  // namespace adatape::nn
