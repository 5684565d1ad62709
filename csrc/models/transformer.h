// The fixed-budget baseline: a Transformer encoder over symbols [baselines §6].
#pragma once

#include <optional>

#include "csrc/models/model.h"
#include "csrc/models/transformer_config.h"
#include "csrc/nn/encoder.h"

namespace adatape {

/// Parameters embed [D, A], cls_token [1, 1, D], pos_embed [1, (1 +) L, D], blocks.i, norm, head
/// [K, D].
class Transformer : public Model {
 public:
  Transformer(const TransformerConfig& config, const InputSpec& input);
  Output forward(const Batch& batch) override;

 private:
  TransformerConfig config_;
  InputSpec input_;
  torch::nn::Linear embed_{nullptr};
  torch::Tensor cls_token_, pos_embed_;
  std::optional<nn::Encoder> encoder_;
};

}  // namespace adatape
