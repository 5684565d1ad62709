// THE LIST of datasets. A new dataset: its <name>_config.h here, its <name>.h in datasets.cpp.
#pragma once

#include <variant>

#include "datasets/parity_config.h"

namespace adatape {

using DatasetConfig = std::variant<ParityConfig>;

}  // namespace adatape
