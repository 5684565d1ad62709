#include "trainers/json_file.h"

#include "csrc/formats/file.h"

namespace adatape {
namespace {

constexpr int kDeepest = 16;
constexpr uint64_t kLargest = 256u << 20;

/// Exact for as far as `text` is JSON, which is as far as the parser goes.
bool nests_too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  if (nests_too_deep(text)) return nlohmann::json::value_t::discarded;
  return nlohmann::json::parse(text, nullptr, false);
}

std::string read_text(const std::string& path) {
  const formats::InputFile file(path);
  if (file.size() > kLargest) {
    throw formats::FormatError(path + " is " + std::to_string(file.size()) +
                               " bytes long, too long to be true; use an intact copy");
  }
  std::string text(file.size(), '\0');
  file.read_at(0, text.data(), text.size());
  return text;
}

}  // namespace adatape
