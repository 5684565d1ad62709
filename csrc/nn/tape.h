// The tape: a bank of candidate tokens, and the reader that turns an example's query into its tape
// rows.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "csrc/nn/feed_forward.h"
#include "csrc/nn/tape_config.h"
#include "csrc/ops/tape_select.h"

namespace adatape::nn {

/// A bank after its LayerNorm. A key is the first C channels of a row, a value is the whole row.
struct Bank {
  at::Tensor keys_BNC;  ///< [B, N, C], or [N, C] shared by all examples
  at::Tensor values;    ///< [B, N, D], or [V, D]: distinct rows that all examples share
  at::Tensor
      value_row_BN;  ///< int64 [B, N], row of `values` that bank row n is; undefined: row n itself
};

/// What one reading brought.
struct Tape {
  at::Tensor rows_nD;            ///< packed tape rows of all examples
  at::Tensor offsets_B1;         ///< int32 [B + 1]
  ops::TapeSelection selection;  ///< indices are bank rows
};

/// Adaptive tape reading [adatape §1.3-1.5]; parameters norm (for query and bank rows) and
/// insert_mlp. Without learned projections: scores are query . key, on normalised channels.
struct TapeReaderImpl : torch::nn::Module {
  TapeReaderImpl(const TapeConfig& config, int64_t dim, int64_t key_width, double norm_eps);

  /// The bank of symbol strings: rows are bank_embed of each symbol. symbols int64 [B, N].
  Bank symbol_bank(const at::Tensor& symbols_BN);

  /// query [B, D] before its LayerNorm.
  Tape read(const at::Tensor& query_BD, const Bank& bank);

  /// Multiply-adds of building the bank and reading n tape rows from N bank rows, int64 [B].
  at::Tensor macs(const ops::TapeSelection& selection, int64_t bank_rows) const;

  /// Adds a bank of symbols over this alphabet (parameter bank_embed).
  void use_symbols(int64_t alphabet);

  TapeConfig config;
  int64_t dim, key_width;
  torch::nn::LayerNorm norm{nullptr};
  torch::nn::Linear bank_embed{nullptr};
  FeedForward insert_mlp{nullptr};

 private:
  ops::TapeSelection select(const at::Tensor& query_BC, const at::Tensor& keys_BNC) const;
};
TORCH_MODULE(TapeReader);

}  // namespace adatape::nn
