#include "csrc/config/load.h"

#include "csrc/config/loader.h"
#include "csrc/config/sources.h"

namespace adatape::config::detail {
namespace {

constexpr const char* kAbsent = "(none)";

std::string value_of(const std::vector<std::pair<std::string, std::string>>& settings,
                     const std::string& key) {
  for (const auto& [name, value] : settings) {
    if (name == key) return value;
  }
  return kAbsent;
}

}  // namespace

void load_onto(const Section& root, const std::string& path,
               const std::vector<std::string>& overrides) {
  Report report;
  Layers layers = read_file(path, report);
  add_overrides(overrides, layers, report);
  apply(root, layers, report);
  report.raise_if_any();
}

void parse_onto(const Section& root, std::string_view text, const std::string& name) {
  Report report;
  const Layers layers = read_text(text, name, report);
  apply(root, layers, report);
  report.raise_if_any();
}

std::vector<Difference> differences(const Section& a, const Section& b) {
  const auto settings_a = print_flat(a);
  const auto settings_b = print_flat(b);
  std::vector<Difference> out;
  for (const auto& [key, value] : settings_a) {
    const std::string other = value_of(settings_b, key);
    if (other != value) out.push_back({key, value, other});
  }
  for (const auto& [key, value] : settings_b) {
    if (value_of(settings_a, key) == kAbsent) out.push_back({key, kAbsent, value});
  }
  return out;
}

}  // namespace adatape::config::detail
