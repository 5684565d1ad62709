// AdaTape the way it is usually written: a padded batch, boolean masks, one torch operation after
// another. It shares nothing with the packed model but its parameters, which it finds by name.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "csrc/models/adatape_config.h"

namespace adatape::test {

class MaskedAdaTape {
 public:
  MaskedAdaTape(const AdaTapeConfig& config,
                torch::OrderedDict<std::string, torch::Tensor> parameters)
      : c_(config), p_(std::move(parameters)) {}

  struct Result {
    torch::Tensor logits_BK, ponder_B, length_B;
  };

  /// symbols int64 [B, L] in 0 .. alphabet - 1.
  Result forward(const torch::Tensor& symbols_BL, int64_t alphabet) {
    const int64_t batch = symbols_BL.size(0);
    const torch::Tensor onehot =
        torch::one_hot(symbols_BL, alphabet).to(p("head.weight").scalar_type());
    torch::Tensor x = linear(onehot.flatten(1), "embed").unsqueeze(1);
    if (c_.cls_token) x = torch::cat({p("cls_token").expand({batch, 1, -1}), x}, 1);
    const int64_t base = x.size(1);
    torch::Tensor mask = torch::ones({batch, base}, torch::kBool);
    Result result;
    for (int64_t i = 0; i < c_.encoder.layers; ++i) {
      if (i == c_.tape.insert_at) {
        const torch::Tensor query = c_.tape.query == "cls" ? x.select(1, 0) : x.mean(1);
        auto [tape, valid] = read(query, linear(onehot, "tape.bank_embed"), result);
        x = torch::cat({x, tape}, 1);
        mask = torch::cat({mask, valid}, 1);
      }
      x = block(x, mask, base, "blocks." + std::to_string(i) + ".");
    }
    x = norm(x, "norm");
    if (c_.pool == "base_mean")
      mask = torch::cat(
          {mask.narrow(1, 0, base),
           mask.narrow(1, base, mask.size(1) - base).logical_and(torch::zeros({1}, torch::kBool))},
          1);
    const torch::Tensor weight = mask.to(x.scalar_type()).unsqueeze(2);
    const torch::Tensor pooled =
        c_.pool == "cls" ? x.select(1, 0) : (x * weight).sum(1) / weight.sum(1);
    result.logits_BK = linear(pooled, "head");
    return result;
  }

 private:
  const torch::Tensor& p(const std::string& name) { return p_[name]; }
  torch::Tensor linear(const torch::Tensor& x, const std::string& name) {
    return x.matmul(p(name + ".weight").t()) + p(name + ".bias");
  }
  torch::Tensor norm(const torch::Tensor& x, const std::string& name) {
    const torch::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.pow(2).mean(-1, true) + c_.encoder.norm_eps).sqrt() *
               p(name + ".weight") +
           p(name + ".bias");
  }
  torch::Tensor ffn(const torch::Tensor& x, const std::string& name, bool glu) {
    const torch::Tensor up = linear(x, name + "fc1");
    if (glu) {
      const auto halves = up.chunk(2, -1);
      return linear(halves[0] * halves[1].sigmoid(), name + "fc2");
    }
    return linear(torch::gelu(up, c_.encoder.gelu == "tanh" ? "tanh" : "none"), name + "fc2");
  }

  torch::Tensor block(torch::Tensor x, const torch::Tensor& mask, int64_t base,
                      const std::string& name) {
    const int64_t B = x.size(0), T = x.size(1), D = x.size(2), H = c_.encoder.heads;
    const auto qkv = linear(norm(x, name + "norm1"), name + "attn.qkv")
                         .view({B, T, 3, H, D / H})
                         .permute({2, 0, 3, 1, 4});
    torch::Tensor score = qkv[0].matmul(qkv[1].transpose(-1, -2)) / std::sqrt(double(D / H));
    score = score.masked_fill(mask.logical_not().view({B, 1, 1, T}), -INFINITY);
    const torch::Tensor out = score.softmax(-1).matmul(qkv[2]).transpose(1, 2).reshape({B, T, D});
    x = x + linear(out, name + "attn.proj");
    const torch::Tensor y = norm(x, name + "norm2");
    if (!p_.contains(name + "tape_mlp.fc1.weight") || T == base)
      return x + ffn(y, name + "mlp.", false);
    return x + torch::cat({ffn(y.narrow(1, 0, base), name + "mlp.", false),
                           ffn(y.narrow(1, base, T - base), name + "tape_mlp.", true)},
                          1);
  }

  /// One reading step for all examples: K best unused rows, their softmax weights, the merged
  /// token.
  torch::Tensor step(torch::Tensor& query, const torch::Tensor& bank, torch::Tensor& used,
                     torch::Tensor& weight) {
    const int64_t C = c_.encoder.dim / c_.encoder.heads,
                  K = std::min<int64_t>(c_.tape.merge(), bank.size(1));
    const torch::Tensor score = (query.unsqueeze(1) * bank.narrow(2, 0, C)).sum(2);
    const torch::Tensor order =
        score.detach().masked_fill(used, -INFINITY).argsort(true, 1, true).narrow(1, 0, K);
    const torch::Tensor taken = used.gather(1, order);
    weight = (score.gather(1, order) / std::sqrt(double(C)))
                 .masked_fill(taken, -INFINITY)
                 .softmax(1)
                 .nan_to_num(0);
    const torch::Tensor rows = bank.gather(1, order.unsqueeze(2).expand({-1, -1, bank.size(2)}));
    const torch::Tensor token = (rows * weight.unsqueeze(2)).sum(1);
    used = used.scatter(1, order, true);
    query = c_.tape.average_query ? (query + token.narrow(1, 0, C)) / 2 : token.narrow(1, 0, C);
    return token;
  }

  std::pair<torch::Tensor, torch::Tensor> read(const torch::Tensor& first_query,
                                               const torch::Tensor& raw_bank, Result& result) {
    const int64_t B = raw_bank.size(0), N = raw_bank.size(1), C = c_.encoder.dim / c_.encoder.heads;
    const torch::Tensor bank = norm(raw_bank, "tape.norm");
    torch::Tensor query = norm(first_query, "tape.norm").narrow(1, 0, C);
    torch::Tensor tape, valid;
    result.ponder_B = torch::zeros({B}, bank.options());
    if (c_.tape.reading == "static") {
      const int64_t T = std::min<int64_t>(c_.tape.max_tokens, N);
      const torch::Tensor best =
          (query.unsqueeze(1) * bank.narrow(2, 0, C)).sum(2).argsort(true, 1, true).narrow(1, 0, T);
      tape = bank.gather(1, best.unsqueeze(2).expand({-1, -1, bank.size(2)}));
      valid = torch::ones({B, T}, torch::kBool);
    } else {
      torch::Tensor used = torch::zeros({B, N}, torch::kBool),
                    halting = torch::zeros({B}, bank.options());
      torch::Tensor running = torch::ones({B}, torch::kBool);
      std::vector<torch::Tensor> tokens, masks;
      for (int64_t t = 0; t < c_.tape.max_tokens; ++t) {
        running = running.logical_and(used.all(1).logical_not());
        torch::Tensor weight;
        tokens.push_back(step(query, bank, used, weight));
        masks.push_back(running);
        const torch::Tensor penalty =
            1 - (c_.tape.penalty == "gini" ? weight.pow(2).sum(1) : weight.select(1, 0));
        result.ponder_B =
            result.ponder_B + torch::where(running, penalty, torch::zeros_like(penalty));
        halting = halting + running * weight.select(1, 0).detach();
        running = running.logical_and(halting < c_.tape.threshold);
      }
      tape = torch::stack(tokens, 1);
      valid = torch::stack(masks, 1);
    }
    result.length_B = valid.sum(1);
    if (c_.tape.insert_mlp > 0) tape = ffn(tape, "tape.insert_mlp.", true);
    return {tape, valid};
  }

  AdaTapeConfig c_;
  torch::OrderedDict<std::string, torch::Tensor> p_;
};

}  // namespace adatape::test
