// The factory over THE LIST (datasets_config.h).
#pragma once

#include <memory>

#include "datasets/dataset.h"
#include "datasets/datasets_config.h"

namespace adatape {

/// seed: of generated data and of every shuffle.
std::unique_ptr<Dataset> make_dataset(const DatasetConfig& config, int64_t seed);

}  // namespace adatape
