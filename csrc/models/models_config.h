// THE LIST of models. A new model: its <name>_config.h here, its <name>.h in models.cpp.
#pragma once

#include <variant>

#include "csrc/models/adatape_config.h"
#include "csrc/models/transformer_config.h"

namespace adatape {

using ModelConfig = std::variant<AdaTapeConfig, TransformerConfig>;

}  // namespace adatape
