#include "csrc/models/adatape.h"

#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/rows.h"

namespace adatape {

AdaTape::AdaTape(const AdaTapeConfig& config, const InputSpec& input)
    : config_(config), input_(input) {
  const EncoderConfig& encoder = config.encoder;
  embed_ = register_module("embed", nn::lecun_linear(input.alphabet * input.length, encoder.dim));
  if (config.cls_token)
    cls_token_ = register_parameter("cls_token", torch::zeros({1, 1, encoder.dim}));
  tape_ = register_module("tape", nn::TapeReader(config.tape, encoder.dim,
                                                 encoder.dim / encoder.heads, encoder.norm_eps));
  tape_->use_symbols(input.alphabet);
  encoder_.emplace(*this, encoder, input.classes, config.tape.layer_ffn, config.tape.insert_at);
}

ops::Ragged AdaTape::embed(const at::Tensor& symbols_BL) {
  const at::Tensor onehot_BI =
      torch::one_hot(symbols_BL, input_.alphabet).to(embed_->weight.scalar_type()).flatten(1);
  at::Tensor x_BLD = embed_(onehot_BI).unsqueeze(1);
  if (config_.cls_token)
    x_BLD = torch::cat({cls_token_.expand({symbols_BL.size(0), 1, -1}), x_BLD}, 1);
  return nn::pack(x_BLD);
}

Output AdaTape::forward(const Batch& batch) {
  const ops::Ragged base = encoder_->run(embed(batch.input), 0, config_.tape.insert_at);
  const at::Tensor query_BD = config_.tape.query == "cls"
                                  ? base.values_TD.index_select(0, nn::first_rows(base))
                                  : nn::mean_rows(base);
  const nn::Tape tape = tape_->read(query_BD, tape_->symbol_bank(batch.input));
  ops::Ragged x = nn::append_tape(base, tape.rows_nD, tape.offsets_B1, config_.tape.max_tokens);
  x = encoder_->run(x, config_.tape.insert_at, encoder_->layers() - 1);

  Output out;
  out.logits_NBK = encoder_->classify(x, config_.pool).unsqueeze(0);
  out.weight_NB = torch::ones({1, batch.size()}, out.logits_NBK.options());
  out.penalty = tape.selection.ponder_B.mean() * config_.tape.penalty_weight;
  out.tokens_B = nn::row_counts(x);
  out.macs_B = macs(base, tape.selection);
  out.selection = tape.selection;
  const double examples = double(batch.size());
  out.meters = {{"tape_tokens", tape.selection.length_B.sum(), examples},
                {"ponder", tape.selection.ponder_B.detach().sum(), examples}};
  return out;
}

at::Tensor AdaTape::macs(const ops::Ragged& base, const ops::TapeSelection& selection) const {
  const at::Tensor base_B = nn::row_counts(base), tape_B = selection.length_B.to(torch::kLong);
  const int64_t dim = config_.encoder.dim, last = encoder_->layers() - 1;
  at::Tensor macs_B = tape_->macs(selection, input_.length) +
                      dim * (input_.alphabet * input_.length + input_.classes);
  for (int64_t layer = 0; layer <= last; ++layer) {
    const at::Tensor joined_B = layer < config_.tape.insert_at ? torch::zeros_like(tape_B) : tape_B;
    macs_B = macs_B +
             encoder_->block_macs(layer, base_B, joined_B, layer == last && config_.pool == "cls");
  }
  return macs_B;
}

}  // namespace adatape
