#include "trainers/text.h"

#include <cmath>
#include <cstdio>

namespace adatape {

std::string fixed(double value, int digits) {
  if (std::isnan(value)) return "nan";
  char text[400];  // the largest double has 309 digits
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string counted(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace adatape
