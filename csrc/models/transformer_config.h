#pragma once

#include <string>

#include "csrc/nn/encoder_config.h"

namespace adatape {

/// A plain Transformer encoder over symbols: the fixed-budget baseline.
struct TransformerConfig {
  static constexpr const char* kName = "transformer";
  static constexpr const char* kDoc =
      "Transformer encoder over symbols with learned positions; a fixed budget";
  using Model = class Transformer;

  EncoderConfig encoder;
  bool cls_token = true;
  std::string pool = "mean";

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("encoder", c.encoder, "the encoder's sizes");
    field("cls_token", c.cls_token, "put a trained class token in front");
    field("pool", c.pool, OneOf{"mean", "cls"},
          "what the head reads: the mean of all rows, or the class token");
  }
  static void validate(const TransformerConfig& c, auto&& problem) {
    if (c.pool == "cls" && !c.cls_token) problem("pool", "cls needs cls_token: true");
  }
};

}  // namespace adatape
