#include "csrc/nn/encoder.h"

#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/macs.h"
#include "csrc/nn/rows.h"

namespace adatape::nn {

Encoder::Encoder(torch::nn::Module& owner, const EncoderConfig& config, int64_t classes,
                 int64_t tape_ffn, int64_t tape_from)
    : config_(config), tape_ffn_(tape_ffn), tape_from_(tape_from) {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.emplace_back(config, i >= tape_from ? tape_ffn : 0);
    list->push_back(blocks_.back());
  }
  owner.register_module("blocks", list);
  norm_ = owner.register_module(
      "norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.dim}).eps(config.norm_eps)));
  head_ = owner.register_module("head", zero_linear(config.dim, classes));
}

ops::Ragged Encoder::run(ops::Ragged x, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) x.values_TD = blocks_[i](x);
  return x;
}

at::Tensor Encoder::classify(const ops::Ragged& x, const std::string& pool) {
  EncoderBlock& last = blocks_.back();
  if (pool == "cls") return head_(norm_(last->forward_only(x, QueryRows{first_rows(x)})));
  ops::Ragged y = x;
  y.values_TD = norm_(last(x));
  return head_(mean_rows(y, pool == "base_mean"));
}

at::Tensor Encoder::block_macs(int64_t layer, const at::Tensor& base_B, const at::Tensor& tape_B,
                               bool only_cls) const {
  const int64_t D = config_.dim;
  const at::Tensor all_B = base_B + tape_B;
  if (only_cls) {
    const at::Tensor one_B = torch::ones_like(all_B);
    return attention_macs(D, one_B, all_B, all_B) + feed_forward_macs(D, config_.mlp, false, one_B);
  }
  const at::Tensor attention_B = attention_macs(D, all_B, all_B, all_B);
  if (tape_ffn_ == 0 || layer < tape_from_)
    return attention_B + feed_forward_macs(D, config_.mlp, false, all_B);
  return attention_B + feed_forward_macs(D, config_.mlp, false, base_B) +
         feed_forward_macs(D, tape_ffn_, true, tape_B);
}

}  // namespace adatape::nn
