// Results on standard output.
#pragma once

#include <string_view>

namespace adatape {

/// Prints `text` and sees it delivered. Throws RunError(kUnexpected): a lost result is a failure.
void print(std::string_view text);

}  // namespace adatape
