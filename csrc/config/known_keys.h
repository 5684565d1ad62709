// Every key that a configuration can hold, for telling a user what an unknown key was meant to be.
#pragma once

#include <string>
#include <vector>

#include "csrc/config/binding.h"

namespace adatape::config {

class KnownKeys {
 public:
  /// Walks all sections, and every alternative of every variant.
  explicit KnownKeys(const Section& root);

  /// The sentence for `key`, unknown in the section at `path`, whose keys are `siblings`.
  std::string unknown(const std::string& path, const std::string& key,
                      const std::vector<std::string>& siblings) const;

 private:
  struct Key {
    std::string path;  // dotted
    std::string leaf;
    std::string name;  // of the variant's alternative that has it; empty outside variants
  };
  void walk(const Section& section, const std::string& path, const std::string& name);
  void walk(const Binding& value, const std::string& path, const std::string& name);
  std::vector<Key> keys_;
};

/// "path.key", or the key alone at the top.
std::string dotted(const std::string& path, const std::string& key);

}  // namespace adatape::config
