// The factory over THE LIST (models_config.h).
#pragma once

#include <memory>

#include "csrc/batch.h"
#include "csrc/models/model.h"
#include "csrc/models/models_config.h"

namespace adatape {

/// A freshly initialised model for examples of this shape; draws from torch's default generator.
std::shared_ptr<Model> make_model(const ModelConfig& config, const InputSpec& input);

}  // namespace adatape
