// YAML text to a tree of Nodes, over yaml-cpp's event parser. What yaml-cpp would let pass in
// silence is a problem here: duplicate keys, a second document, tags, merge keys, directives, tabs
// as indentation. Input is bounded (bytes, depth, values after aliases are replaced), so that
// hostile text costs little time and memory.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "csrc/config/node.h"

namespace adatape::config {

inline constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxDepth = 32;
inline constexpr std::size_t kMaxValues = 20000;

/// The document in `text`: null for none. Every problem goes to `report`; nothing is returned where
/// the text could not be read to its end. `has_lines` is false for an override, which has none.
std::optional<Node> read_yaml(std::string_view text, int source, bool has_lines, Report& report);

}  // namespace adatape::config
