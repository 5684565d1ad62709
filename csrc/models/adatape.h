// AdaTape on symbol strings [adatape §1.8]: the whole string is one base token; its symbols are the
// tape bank.
#pragma once

#include <optional>

#include "csrc/models/adatape_config.h"
#include "csrc/models/model.h"
#include "csrc/nn/encoder.h"
#include "csrc/nn/tape.h"

namespace adatape {

/// Parameters embed [D, A L] (column A s + symbol), cls_token [1, 1, D], tape.*, blocks.i, norm,
/// head [K, D].
class AdaTape : public Model {
 public:
  AdaTape(const AdaTapeConfig& config, const InputSpec& input);
  Output forward(const Batch& batch) override;

 private:
  ops::Ragged embed(const at::Tensor& symbols_BL);
  at::Tensor macs(const ops::Ragged& base, const ops::TapeSelection& selection) const;

  AdaTapeConfig config_;
  InputSpec input_;
  torch::nn::Linear embed_{nullptr};
  torch::Tensor cls_token_;
  nn::TapeReader tape_{nullptr};
  std::optional<nn::Encoder> encoder_;
};

}  // namespace adatape
