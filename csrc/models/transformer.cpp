#include "csrc/models/transformer.h"

#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/rows.h"

namespace adatape {

Transformer::Transformer(const TransformerConfig& config, const InputSpec& input)
    : config_(config), input_(input) {
  const int64_t dim = config.encoder.dim;
  embed_ = register_module("embed", nn::lecun_linear(input.alphabet, dim));
  if (config.cls_token) cls_token_ = register_parameter("cls_token", torch::zeros({1, 1, dim}));
  pos_embed_ = register_parameter("pos_embed",
                                  torch::randn({1, input.length + config.cls_token, dim}) * 0.02);
  encoder_.emplace(*this, config.encoder, input.classes);
}

Output Transformer::forward(const Batch& batch) {
  const int64_t size = batch.input.size(0), last = encoder_->layers() - 1;
  at::Tensor x_BLD = torch::embedding(embed_->weight.t() + embed_->bias, batch.input);
  if (config_.cls_token) x_BLD = torch::cat({cls_token_.expand({size, 1, -1}), x_BLD}, 1);
  const ops::Ragged x = nn::pack(x_BLD + pos_embed_);

  Output out;
  out.logits_NBK = encoder_->classify(encoder_->run(x, 0, last), config_.pool).unsqueeze(0);
  out.weight_NB = torch::ones({1, size}, out.logits_NBK.options());
  out.tokens_B = nn::row_counts(x);
  const at::Tensor none_B = torch::zeros_like(out.tokens_B);
  out.macs_B = encoder_->block_macs(0, out.tokens_B, none_B, false) * last +
               encoder_->block_macs(last, out.tokens_B, none_B, config_.pool == "cls") +
               config_.encoder.dim * input_.classes;
  return out;
}

}  // namespace adatape
