// Numbers as the texts that people read.
#pragma once

#include <cstdint>
#include <string>

namespace adatape {

/// With so many digits after the point; what is not a number is "nan", whatever its sign.
std::string fixed(double value, int digits);

/// "1 thread", "2 threads".
std::string counted(int64_t count, const std::string& noun);

}  // namespace adatape
