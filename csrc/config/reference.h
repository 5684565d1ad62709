// Every setting of a configuration as Markdown: what `adatape config reference` prints.
#pragma once

#include <string>

#include "csrc/config/binding.h"

namespace adatape::config {

/// One table per section and per alternative of a variant: key, type, default, allowed, meaning.
std::string print_reference(const Section& root);

}  // namespace adatape::config
