// Settings of a pre-LN Transformer encoder, shared by every model.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/config/schema.h"

namespace adatape {

struct EncoderConfig {
  int64_t dim = 64;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t mlp = 256;
  std::string gelu = "tanh";
  double norm_eps = 1e-6;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("dim", c.dim, Range{1, 65536}, "width of a token (D); a multiple of heads");
    field("layers", c.layers, Range{1, 1024}, "encoder blocks");
    field("heads", c.heads, Range{1, 1024}, "attention heads (H)");
    field("mlp", c.mlp, Range{1, 1048576}, "hidden width of the feed-forward network (M)");
    field("gelu", c.gelu, OneOf{"tanh", "erf"},
          "GELU: the tanh approximation (JAX's default) or exact (timm's)");
    field("norm_eps", c.norm_eps, Above{0, 1}, "epsilon inside the square root of LayerNorm");
  }
  static void validate(const EncoderConfig& c, auto&& problem) {
    if (c.dim % c.heads != 0) {
      problem("dim", "dim " + std::to_string(c.dim) + " is not a multiple of heads " +
                         std::to_string(c.heads));
    } else if (c.dim / c.heads > 256) {
      problem("heads", "a head is " + std::to_string(c.dim / c.heads) +
                           " channels wide, but attention takes at most 256; use more heads");
    }
  }
};

}  // namespace adatape
