// A configuration as text: complete YAML that loads back to an equal one, and flat key-value pairs
// for comparing two.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "csrc/config/binding.h"

namespace adatape::config {

/// Block YAML with every setting, in declared order; lists and what they hold on one line.
std::string print_yaml(const Section& root);

/// One value on one line, as YAML: 0.1, [1, 2], {name: adatape, dim: 64}, null.
std::string print_value(const Binding& value);

/// Dotted key and printed value of every setting, in declared order.
std::vector<std::pair<std::string, std::string>> print_flat(const Section& root);

}  // namespace adatape::config
