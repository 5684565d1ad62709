// What an owner needs in order to declare its settings: the limits that a field may carry.
//
// An owner is a plain struct whose members hold the defaults, with one static template
//   static void declare(auto& c, auto&& field) { field("lr", c.lr, Range{0, 10}, "peak rate"); }
// and, where settings depend on each other,
//   static void validate(const C& c, auto&& problem) { if (...) problem("key", "sentence"); }
// Members may be bool, int, std::int64_t, double, std::string, another such struct, a std::variant
// of such structs (each with kName and kDoc; the key `name` picks one), and std::array, std::vector
// or std::optional of these. The key `base` at the top level and `name` in a variant are taken.
#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace adatape::config {

/// low <= value <= high. An infinite end is no bound on that side. Holds for each element of a
/// list.
struct Range {
  double low;
  double high;
};

/// low < value <= high.
struct Above {
  double low;
  double high = std::numeric_limits<double>::infinity();
};

/// low <= value < high.
struct HalfOpen {
  double low;
  double high;
};

/// The texts that a std::string setting may hold.
struct OneOf {
  OneOf(std::initializer_list<std::string> choices) : names(choices) {}
  explicit OneOf(std::vector<std::string> choices) : names(std::move(choices)) {}
  std::vector<std::string> names;
};

}  // namespace adatape::config
