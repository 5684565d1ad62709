// A YAML document as plain data with lines: what a file or an override says, before it is known
// what the settings are. A map holds each key once, aliases are already replaced by their values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "csrc/config/problem.h"

namespace adatape::config {

struct Entry;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Location where;           // of the key that holds it, or of itself in a list
  bool quoted = false;      // scalar: written in quotes or as a block
  std::string text;         // scalar: UTF-8 without NUL
  std::vector<Node> items;  // list
  std::vector<Entry> entries;

  /// The value of `key` in a map, or null.
  const Node* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  Node value;
};

inline const Node* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

}  // namespace adatape::config
