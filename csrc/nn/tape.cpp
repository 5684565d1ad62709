#include "csrc/nn/tape.h"

#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/macs.h"
#include "csrc/ops/tape_gather.h"

namespace adatape::nn {
namespace {

/// int32 [B + 1]: exclusive prefix sum.
at::Tensor offsets_of(const at::Tensor& length_B) {
  at::Tensor offsets = torch::zeros({length_B.size(0) + 1}, length_B.options());
  offsets.narrow(0, 1, length_B.size(0)).copy_(length_B.cumsum(0));
  return offsets;
}

/// Bank rows as rows of `values`; -1 stays -1.
at::Tensor value_index(const Bank& bank, const at::Tensor& index_BTK) {
  if (!bank.value_row_BN.defined()) return index_BTK;
  const at::Tensor row =
      bank.value_row_BN.gather(1, index_BTK.clamp_min(0).flatten(1).to(torch::kLong))
          .to(torch::kInt);
  return row.view_as(index_BTK).masked_fill(index_BTK < 0, -1);
}

}  // namespace

TapeReaderImpl::TapeReaderImpl(const TapeConfig& config, int64_t dim, int64_t key_width,
                               double norm_eps)
    : config(config), dim(dim), key_width(key_width) {
  norm = register_module("norm",
                         torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(norm_eps)));
  if (config.insert_mlp > 0) {
    insert_mlp =
        register_module("insert_mlp", FeedForward(dim, config.insert_mlp, Activation::kGlu));
  }
}

void TapeReaderImpl::use_symbols(int64_t alphabet) {
  bank_embed = register_module("bank_embed", lecun_linear(alphabet, dim));
}

Bank TapeReaderImpl::symbol_bank(const at::Tensor& symbols_BN) {
  // A string has no more distinct bank rows than the alphabet has symbols: embed and normalise each
  // once.
  const at::Tensor table_VD = norm(bank_embed->weight.t() + bank_embed->bias);
  return {torch::embedding(table_VD.narrow(1, 0, key_width), symbols_BN), table_VD, symbols_BN};
}

ops::TapeSelection TapeReaderImpl::select(const at::Tensor& query_BC,
                                          const at::Tensor& keys_BNC) const {
  ops::TapeSelectOptions options;
  options.penalty = config.penalty;
  options.average_query = config.average_query;
  if (config.reading == "adaptive") {
    options.max_tokens = config.max_tokens;
    options.threshold = config.threshold;
    options.merge = config.merge();
    return ops::tape_select(query_BC, keys_BNC, options);
  }
  // Static reading [adatape §1.5]: the best max_tokens rows of one step, each a tape token of its
  // own.
  options.max_tokens = 1;
  options.threshold = 1;
  options.merge = config.max_tokens;
  torch::NoGradGuard ranking_has_no_gradient;
  const ops::TapeSelection best = ops::tape_select(query_BC, keys_BNC, options);
  const at::Tensor index_BT1 = best.index_BTK.transpose(1, 2).contiguous();
  const at::Tensor read = index_BT1 >= 0;
  return {index_BT1, read.to(best.weight_BTK.scalar_type()), read.sum({1, 2}, false, torch::kInt),
          torch::zeros_like(best.ponder_B)};
}

Tape TapeReaderImpl::read(const at::Tensor& query_BD, const Bank& bank) {
  const at::Tensor query_BC = norm(query_BD).narrow(1, 0, key_width);
  Tape tape;
  tape.selection = select(query_BC, bank.keys_BNC);
  tape.offsets_B1 = offsets_of(tape.selection.length_B);
  const int64_t total = tape.offsets_B1[-1].item<int>();
  tape.rows_nD = ops::tape_gather(bank.values, value_index(bank, tape.selection.index_BTK),
                                  tape.selection.weight_BTK, tape.offsets_B1, total);
  if (insert_mlp) tape.rows_nD = insert_mlp(tape.rows_nD);
  return tape;
}

at::Tensor TapeReaderImpl::macs(const ops::TapeSelection& selection, int64_t bank_rows) const {
  const at::Tensor rows_B = selection.length_B.to(torch::kLong);
  const at::Tensor merged_B = (selection.index_BTK >= 0).sum({1, 2});
  // Step t scores the bank rows that the t steps before left: n N minus K (0 + 1 + ... + n - 1).
  at::Tensor scored_B = torch::full_like(rows_B, bank_rows);
  if (config.reading == "adaptive") {
    scored_B = rows_B * bank_rows - (rows_B * (rows_B - 1)).div(2, "floor") * config.merge();
  }
  // Embedding a symbol is a sum of weight rows, no product.
  at::Tensor macs_B = scored_B * key_width + merged_B * (dim + key_width);
  if (insert_mlp) macs_B = macs_B + feed_forward_macs(dim, config.insert_mlp, true, rows_B);
  return macs_B;
}

}  // namespace adatape::nn
