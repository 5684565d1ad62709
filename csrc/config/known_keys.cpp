#include "csrc/config/known_keys.h"

#include <algorithm>
#include <optional>

#include "csrc/config/text.h"

namespace adatape::config {

std::string dotted(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

KnownKeys::KnownKeys(const Section& root) { walk(root, "", ""); }

void KnownKeys::walk(const Section& section, const std::string& path, const std::string& name) {
  for (const Field& field : section.fields) {
    keys_.push_back({dotted(path, field.key), field.key, name});
    walk(field.value, dotted(path, field.key), name);
  }
}

void KnownKeys::walk(const Binding& value, const std::string& path, const std::string& name) {
  if (const auto* section = std::get_if<std::shared_ptr<Section>>(&value)) {
    walk(**section, path, name);
  } else if (const auto* optional = std::get_if<std::shared_ptr<Optional>>(&value)) {
    walk((*optional)->prototype(), path, name);
  } else if (const auto* choice = std::get_if<std::shared_ptr<Choice>>(&value)) {
    const std::vector<Choice::Alternative> alternatives = (*choice)->alternatives();
    for (std::size_t i = 0; i < alternatives.size(); ++i) {
      walk((*choice)->sample(i), path, alternatives[i].name);
    }
  }
}

std::string KnownKeys::unknown(const std::string& path, const std::string& key,
                               const std::vector<std::string>& siblings) const {
  const std::string full = dotted(path, key);
  const std::string sentence = "unknown key " + quote(full);
  if (key.find(':') != std::string::npos) return sentence + ": put a space after the ':'";
  std::vector<std::string> names;
  std::vector<std::string> elsewhere;
  for (const Key& known : keys_) {
    if (known.path == full && !known.name.empty()) names.push_back("'" + known.name + "'");
    if (known.leaf == key) elsewhere.push_back("'" + known.path + "'");
    if (known.path == full && key.find('.') != std::string::npos) {
      return sentence + ": in a file, write a section for each '.', each on a line of its own";
    }
  }
  if (!names.empty()) {
    return sentence + ": it belongs to the name " + joined(names, " or ") + ", not to this one";
  }
  if (const std::optional<std::string> sibling = nearest(key, siblings)) {
    return sentence + "; did you mean '" + dotted(path, *sibling) + "'?";
  }
  std::sort(elsewhere.begin(), elsewhere.end());
  elsewhere.erase(std::unique(elsewhere.begin(), elsewhere.end()), elsewhere.end());
  constexpr std::size_t kFew = 3;
  if (elsewhere.empty() || elsewhere.size() > kFew) return sentence;
  return sentence + "; did you mean " + joined(elsewhere, " or ") + "?";
}

}  // namespace adatape::config
