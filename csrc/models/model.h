// What every model returns, so that one task and one trainer serve them all.
#pragma once

#include <torch/nn/module.h>

#include <optional>
#include <string>
#include <vector>

#include "csrc/batch.h"
#include "csrc/ops/tape_select.h"

namespace adatape {

/// A named mean: sum over examples and their number, both scalars, added up over batches and ranks.
struct Meter {
  std::string name;
  at::Tensor sum;
  double count;
};

struct Output {
  at::Tensor logits_NBK;  ///< N predictions of each example (1, but for PonderNet)
  at::Tensor weight_NB;   ///< how much each prediction counts; sums to 1 over N
  at::Tensor penalty;     ///< scalar, already weighted, mean over the batch; undefined: none
  at::Tensor
      macs_B;  ///< int64, multiply-adds of matrix products executed for each example, forward
  at::Tensor tokens_B;                          ///< int64, rows that the last block saw
  std::optional<ops::TapeSelection> selection;  ///< what was read from the tape bank
  std::vector<Meter> meters;                    ///< model-specific means, for logs
};

struct Model : torch::nn::Module {
  virtual Output forward(const Batch& batch) = 0;
};

}  // namespace adatape
