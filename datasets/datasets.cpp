#include "datasets/datasets.h"

#include "datasets/parity.h"

namespace adatape {

std::unique_ptr<Dataset> make_dataset(const DatasetConfig& config, int64_t seed) {
  return std::visit(
      [&](const auto& chosen) -> std::unique_ptr<Dataset> {
        using Chosen = std::decay_t<decltype(chosen)>;
        return std::make_unique<typename Chosen::Dataset>(chosen, seed);
      },
      config);
}

}  // namespace adatape
