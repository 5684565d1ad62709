#pragma once

#include <string>

#include "csrc/nn/encoder_config.h"
#include "csrc/nn/tape_config.h"

namespace adatape {

/// AdaTape with an input-driven bank; on symbols, its parity form.
struct AdaTapeConfig {
  static constexpr const char* kName = "adatape";
  static constexpr const char* kDoc =
      "AdaTape: elastic sequences; each example reads as many tape tokens from its bank as it "
      "needs";
  using Model = class AdaTape;

  EncoderConfig encoder;
  TapeConfig tape;
  bool cls_token = true;
  std::string pool = "mean";

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("encoder", c.encoder, "the encoder's sizes");
    field("tape", c.tape, "the tape bank and its reading");
    field("cls_token", c.cls_token, "put a trained class token in front");
    field("pool", c.pool, OneOf{"mean", "base_mean", "cls"},
          "what the head reads: mean of base and tape rows, mean of base rows, or the class token");
  }
  static void validate(const AdaTapeConfig& c, auto&& problem) {
    if (c.pool == "cls" && !c.cls_token) problem("pool", "cls needs cls_token: true");
    if (c.tape.query == "cls" && !c.cls_token) problem("tape.query", "cls needs cls_token: true");
    if (c.tape.query == "cls" && c.tape.insert_at == 0) {
      problem(
          "tape.query",
          "cls at insert_at 0 is the same vector for every example; use insert_at 1 or query mean");
    }
    if (c.tape.insert_at >= c.encoder.layers) {
      problem("tape.insert_at", std::to_string(c.tape.insert_at) + " is past the last block " +
                                    std::to_string(c.encoder.layers - 1));
    }
  }
};

}  // namespace adatape
