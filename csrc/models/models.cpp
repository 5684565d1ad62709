#include "csrc/models/models.h"

#include "csrc/models/adatape.h"
#include "csrc/models/transformer.h"

namespace adatape {

std::shared_ptr<Model> make_model(const ModelConfig& config, const InputSpec& input) {
  return std::visit(
      [&](const auto& chosen) -> std::shared_ptr<Model> {
        using Chosen = std::decay_t<decltype(chosen)>;
        return std::make_shared<typename Chosen::Model>(chosen, input);
      },
      config);
}

}  // namespace adatape
