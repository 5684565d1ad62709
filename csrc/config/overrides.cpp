// add_overrides: `key.path=value` from the command line as one more layer of settings.
#include <algorithm>
#include <optional>
#include <utility>

#include "csrc/config/sources.h"
#include "csrc/config/text.h"
#include "csrc/config/yaml_reader.h"

namespace adatape::config {
namespace {

constexpr const char* kForm = "an override has the form key=value, such as optimizer.lr=0.001";

// Sets `value` in the map `target`; sections merge, anything else is replaced.
void merge(Node& target, const std::string& key, Node value) {
  const auto entry = std::find_if(target.entries.begin(), target.entries.end(),
                                  [&](const Entry& e) { return e.key == key; });
  if (entry == target.entries.end()) {
    target.entries.push_back({key, std::move(value)});
  } else if (entry->value.kind == Node::Kind::kMap && value.kind == Node::Kind::kMap) {
    entry->value.where = value.where;
    for (Entry& inner : value.entries) merge(entry->value, inner.key, std::move(inner.value));
  } else {
    entry->value = std::move(value);
  }
}

// The parts of a dotted key, or nothing after a complaint.
std::optional<std::vector<std::string>> split_key(std::string_view key, Location where,
                                                  Report& report) {
  const std::string form = kForm;
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('.', begin), key.size());
    parts.emplace_back(key.substr(begin, end - begin));
    begin = end + 1;
  }
  if (key.empty()) {
    report.add(where, "the key before '=' is missing: " + form);
  } else if (key.starts_with('-')) {
    report.add(where, "an override begins without dashes: " + form);
  } else if (std::find(parts.begin(), parts.end(), "") != parts.end()) {
    report.add(where, "the key has an empty part beside a '.': " + form);
  } else if (parts.size() > kMaxDepth) {
    report.add(where, "the key has more than " + std::to_string(kMaxDepth) + " parts");
  } else if (parts.front() == "base") {
    report.add(where, "'base' cannot be overridden: it belongs in a file");
  } else {
    return parts;
  }
  return std::nullopt;
}

}  // namespace

void add_overrides(const std::vector<std::string>& overrides, Layers& layers, Report& report) {
  Node layer;
  layer.kind = Node::Kind::kMap;
  for (const std::string& override : overrides) {
    const Location where{report.add_source("command line: " + quote(override)), 0};
    const std::string_view text = override;
    const std::size_t equals = text.find('=');
    const auto parts = split_key(text.substr(0, equals), where, report);
    std::optional<Node> value;
    if (parts && equals == text.npos) {
      report.add(where, "the '=' is missing: " + std::string(kForm));
    } else if (parts) {
      value = read_yaml(text.substr(equals + 1), where.source, false, report);
    }
    if (!value) {
      layers.complete = false;
      continue;
    }
    value->where = where;
    for (auto part = parts->rbegin(); part + 1 != parts->rend(); ++part) {
      Node outer;
      outer.kind = Node::Kind::kMap;
      outer.where = where;
      outer.entries.push_back({*part, std::move(*value)});
      value = std::move(outer);
    }
    if (layer.entries.empty()) layer.where = where;
    merge(layer, parts->front(), std::move(*value));
  }
  if (!layer.entries.empty()) layers.nodes.push_back(std::move(layer));
}

}  // namespace adatape::config
