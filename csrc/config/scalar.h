// One value as text and back. Stricter than YAML where YAML surprises: only true and false are
// booleans, numbers are decimal (no 010, 0x10 or 1_000) and finite, a quoted value is a text, and a
// text takes any plain value as it is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "csrc/config/binding.h"
#include "csrc/config/node.h"

namespace adatape::config {

/// How a sentence that begins with the setting's name ends: "is 'x', but a number is expected".
using Complaint = std::optional<std::string>;

/// Store the node's value in `value` and return nothing, or leave `value` and complain.
Complaint read_scalar(const Node& node, bool& value);
Complaint read_scalar(const Node& node, int& value);
Complaint read_scalar(const Node& node, std::int64_t& value);
Complaint read_scalar(const Node& node, double& value);
Complaint read_scalar(const Node& node, std::string& value);

/// Complains unless the value, read from the node, is within the limit.
Complaint check_limit(const Node& node, const Limit& limit, double value);
Complaint check_limit(const Node& node, const Limit& limit, const std::string& value);

/// "between 0 and 10", "greater than 0", "at least 1": empty if every number is allowed.
std::string bounds_text(const Limit& limit);

/// The node in a sentence: "is 'abc'", "has no value", "is a list", "is a section".
std::string what_it_is(const Node& node);

/// Texts that read_scalar takes back to the same value; a double always has a point.
std::string print_scalar(bool value);
std::string print_scalar(std::int64_t value);
std::string print_scalar(double value);
std::string print_scalar(const std::string& value);

}  // namespace adatape::config
