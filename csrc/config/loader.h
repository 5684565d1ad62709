// Layers of settings onto a configuration: every value of every layer is checked, the last wins.
#pragma once

#include "csrc/config/binding.h"
#include "csrc/config/sources.h"

namespace adatape::config {

/// Stores the layers in the struct behind `root`, runs the owners' validate(), reports all
/// problems. Sections merge key by key, lists are replaced. In a variant's section, a layer that
/// picks another `name` than the layers before it drops their keys of that section.
void apply(const Section& root, const Layers& layers, Report& report);

}  // namespace adatape::config
