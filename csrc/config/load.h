// Configuration files onto a struct that declares its settings (schema.h), and back to text.
//
// Whatever the input, the only exception that leaves load() and parse() is Error, which holds every
// problem of the file, its bases and the overrides, each with file and line. What is loaded lies
// within the declared limits and satisfies the owners' validate().
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "csrc/config/binding.h"
#include "csrc/config/print.h"
#include "csrc/config/problem.h"
#include "csrc/config/reference.h"

namespace adatape::config {

/// A setting that differs between two configurations; "(none)" where one side lacks it.
struct Difference {
  std::string key;
  std::string a;
  std::string b;
};

namespace detail {
void load_onto(const Section& root, const std::string& path,
               const std::vector<std::string>& overrides);
void parse_onto(const Section& root, std::string_view text, const std::string& name);
std::vector<Difference> differences(const Section& a, const Section& b);
}  // namespace detail

/// Reads `path` with its `base:` chain, then `key.path=value` overrides. Throws Error.
template <class C>
C load(const std::string& path, const std::vector<std::string>& overrides = {}) {
  C config{};
  detail::load_onto(describe(config), path, overrides);
  return config;
}

/// Reads YAML in memory, called `name` in problems; `base:` is refused. Throws Error.
template <class C>
C parse(std::string_view text, const std::string& name) {
  C config{};
  detail::parse_onto(describe(config), text, name);
  return config;
}

/// Complete YAML, in declared order, that loads to an equal configuration.
template <class C>
std::string to_yaml(const C& config) {
  C copy = config;
  return print_yaml(describe(copy));
}

/// Markdown with one table per section and per alternative of a variant.
template <class C>
std::string reference() {
  C config{};
  return print_reference(describe(config));
}

/// Dotted key and printed value of every setting, in declared order.
template <class C>
std::vector<std::pair<std::string, std::string>> flatten(const C& config) {
  C copy = config;
  return print_flat(describe(copy));
}

/// The settings in which `a` and `b` differ, in declared order.
template <class C>
std::vector<Difference> differences(const C& a, const C& b) {
  C copy_a = a;
  C copy_b = b;
  return detail::differences(describe(copy_a), describe(copy_b));
}

}  // namespace adatape::config
