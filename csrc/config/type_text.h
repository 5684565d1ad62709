// What kinds of values a setting takes, in words: for messages and for the reference.
#pragma once

#include <string>

#include "csrc/config/binding.h"

namespace adatape::config {

/// "number", "whole number", "true or false", "text", "list of 2 numbers", "number or null", ...
std::string type_text(const Binding& value);

}  // namespace adatape::config
