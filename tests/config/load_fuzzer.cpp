// libFuzzer target: whatever the bytes, parsing either throws Error or gives a configuration that
// prints to YAML which parses to the same one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/config/example_config.h"

namespace config = adatape::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  config::ExampleConfig loaded;
  try {
    loaded = config::parse<config::ExampleConfig>(text, "input");
  } catch (const config::Error& error) {
    if (error.problems.empty()) std::abort();
    for (const config::Problem& problem : error.problems) {
      // Every line of a message is about one problem, and safe to print.
      if (problem.text().find_first_of("\n\r\x1b") != std::string::npos) std::abort();
    }
    return 0;
  }
  const std::string printed = config::to_yaml(loaded);
  if (config::parse<config::ExampleConfig>(printed, "printed") != loaded) std::abort();
  return 0;
}
