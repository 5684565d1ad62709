// Where settings come from: a file, the chain of files that it names with `base:`, and overrides
// from the command line. Each becomes a layer; later layers win.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "csrc/config/node.h"

namespace adatape::config {

struct Layers {
  std::vector<Node> nodes;  // each a map or null: the furthest base first, overrides last
  bool complete = true;     // false if a file could not be read, so that settings may be missing
};

/// Reads a file with its bases. Only regular files of at most kMaxBytes are opened to be read.
Layers read_file(const std::string& path, Report& report);

/// Reads settings from memory; `base:` is refused.
Layers read_text(std::string_view text, const std::string& name, Report& report);

/// Adds one layer for overrides such as `model.dim=64` or `optimizer={lr: 0.1}`. Among overrides of
/// one key the last wins, and sections merge.
void add_overrides(const std::vector<std::string>& overrides, Layers& layers, Report& report);

}  // namespace adatape::config
