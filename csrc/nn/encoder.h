// The blocks of an encoder, the final norm and the head: what every Transformer-based model shares.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <string>
#include <vector>

#include "csrc/nn/encoder_block.h"
#include "csrc/ops/ragged.h"

namespace adatape::nn {

/// Parameters blocks.i, norm, head [K, D], registered in the model that owns the encoder, so that
/// their names are timm's. Blocks from tape_from on have a feed-forward network of width tape_ffn
/// for tape rows (0: none).
class Encoder {
 public:
  Encoder(torch::nn::Module& owner, const EncoderConfig& config, int64_t classes,
          int64_t tape_ffn = 0, int64_t tape_from = 0);

  /// Runs blocks [first, last) on x.
  ops::Ragged run(ops::Ragged x, int64_t first, int64_t last);

  /// Runs the last block, the final norm, pooling ("mean" of all rows, "base_mean", "cls") and the
  /// head: [B, K]. With "cls" the last block computes that row only.
  at::Tensor classify(const ops::Ragged& x, const std::string& pool);

  int64_t layers() const { return int64_t(blocks_.size()); }

  /// int64 [B]: multiply-adds of block `layer` on examples of base_B and tape_B rows; `only_cls` as
  /// in classify.
  at::Tensor block_macs(int64_t layer, const at::Tensor& base_B, const at::Tensor& tape_B,
                        bool only_cls) const;

 private:
  EncoderConfig config_;
  int64_t tape_ffn_, tape_from_;
  std::vector<EncoderBlock> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace adatape::nn
