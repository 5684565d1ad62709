#include "csrc/config/loader.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/config/known_keys.h"
#include "csrc/config/scalar.h"
#include "csrc/config/text.h"
#include "csrc/config/type_text.h"

namespace adatape::config {
namespace {

using Stack = std::vector<const Node*>;  // what the layers say of one setting, the last one wins

// One setting while it is loaded. What a later layer drops is loaded too, to check it, but is not
// `live`: no rule between settings holds for it.
struct Site {
  const Field& field;
  const std::string& path;
  const Stack& stack;
  bool live;
};

class Loader {
 public:
  Loader(const Section& root, bool complete, Report& report)
      : known_(root), complete_(complete), report_(report) {}

  // `path` names the section; `taken` is a key that is not for one of the section's own settings.
  void section(const Section& section, const std::string& path, const Stack& stack, bool live,
               std::string_view taken = "");

 private:
  void value(const Binding& target, const Site& site);
  void store(const std::shared_ptr<Section>& target, const Site& site);
  void store(const std::shared_ptr<Sequence>& target, const Site& site);
  void store(const std::shared_ptr<Optional>& target, const Site& site);
  void store(const std::shared_ptr<Choice>& target, const Site& site);
  template <class T>
  void store(T* target, const Site& site);

  bool fits(const std::shared_ptr<Sequence>& target, const Node& node, const Site& site);
  std::vector<std::optional<std::size_t>> picks(const Choice& choice, const std::string& path,
                                                const Stack& stack);
  std::optional<std::size_t> picked_by(const Node& name, const std::vector<std::string>& names,
                                       const std::string& path);
  Stack maps(const Site& site, const std::string& hint);
  Location locate(std::string path) const;
  void complain(const std::string& path, Location where, const std::string& complaint) {
    report_.add(where, quote(path) + " " + complaint);
  }

  KnownKeys known_;
  bool complete_;
  Report& report_;
  std::map<std::string, Location> set_at_;
};

void Loader::section(const Section& section, const std::string& path, const Stack& stack, bool live,
                     std::string_view taken) {
  const int before = report_.count();
  std::vector<std::string> keys;
  for (const Field& field : section.fields) {
    keys.push_back(field.key);
    Stack values;
    for (const Node* node : stack) {
      if (const Node* found = node->find(field.key)) values.push_back(found);
    }
    value(field.value, {field, dotted(path, field.key), values, live});
  }
  if (!taken.empty()) keys.emplace_back(taken);
  for (const Node* node : stack) {
    for (const Entry& entry : node->entries) {
      if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
      report_.add(entry.value.where, report_.full() ? "" : known_.unknown(path, entry.key, keys));
    }
  }
  if (!section.validate || !live || !complete_ || report_.count() > before) return;
  section.validate([&](const std::string& key, const std::string& message) {
    const std::string full = key.empty() ? path : dotted(path, key);
    report_.add(locate(full), quote(full) + ": " + message);
  });
}

void Loader::value(const Binding& target, const Site& site) {
  if (site.live && !site.stack.empty()) set_at_[site.path] = site.stack.back()->where;
  std::visit([&](const auto& kind) { store(kind, site); }, target);
}

template <class T>
void Loader::store(T* target, const Site& site) {
  for (const Node* node : site.stack) {
    Complaint complaint = read_scalar(*node, *target);
    if constexpr (!std::is_same_v<T, bool>) {
      if (!complaint) complaint = check_limit(*node, site.field.limit, *target);
    }
    if (!complaint) continue;
    const bool is_map = node->kind == Node::Kind::kMap;
    complain(site.path, node->where, *complaint + (is_map ? ": it has no keys of its own" : ""));
  }
}

bool Loader::fits(const std::shared_ptr<Sequence>& target, const Node& node, const Site& site) {
  const bool is_list = node.kind == Node::Kind::kList;
  const std::size_t count = node.items.size();
  if (is_list && count == target->fixed_size().value_or(count)) return true;
  complain(site.path, node.where,
           (is_list ? "has " + std::to_string(count) + (count == 1 ? " value" : " values")
                    : what_it_is(node)) +
               ", but a " + type_text(target) + " is expected" +
               (node.kind == Node::Kind::kScalar ? ", such as [a, b]" : ""));
  return false;
}

void Loader::store(const std::shared_ptr<Sequence>& target, const Site& site) {
  const auto element = [&](std::size_t i, const Stack& stack, bool live) {
    value(target->at(i), {site.field, site.path + "[" + std::to_string(i) + "]", stack, live});
  };
  for (const Node* node : site.stack) {
    if (!fits(target, *node, site)) continue;
    target->restart(node->items.size());
    const bool live = site.live && node == site.stack.back();
    for (std::size_t i = 0; i < node->items.size(); ++i) element(i, {&node->items[i]}, live);
  }
  if (!site.stack.empty()) return;
  for (std::size_t i = 0; i < target->size(); ++i) element(i, {}, site.live);
}

void Loader::store(const std::shared_ptr<Optional>& target, const Site& site) {
  if (site.stack.empty() && target->has_value()) return value(target->value(), site);
  const auto is_null = [](const Node* node) { return node->kind == Node::Kind::kNull; };
  for (auto begin = site.stack.begin(); begin != site.stack.end();) {
    if (is_null(*begin)) {
      target->reset();
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, site.stack.end(), is_null);
    value(target->value(),
          {site.field, site.path, Stack(begin, end), site.live && end == site.stack.end()});
    begin = end;
  }
}

void Loader::store(const std::shared_ptr<Section>& target, const Site& site) {
  section(*target, site.path, maps(site, ""), site.live);
}

// Those layers that hold a section; complains of the others.
Stack Loader::maps(const Site& site, const std::string& hint) {
  Stack out;
  for (const Node* node : site.stack) {
    if (node->kind == Node::Kind::kMap) {
      out.push_back(node);
    } else {
      complain(site.path, node->where,
               what_it_is(*node) + ", but a section is expected" +
                   (node->kind == Node::Kind::kNull
                        ? ": write its keys below it, indented, or remove the line"
                        : hint));
    }
  }
  return out;
}

// The alternative that a `name` means, or nothing after a complaint.
std::optional<std::size_t> Loader::picked_by(const Node& name,
                                             const std::vector<std::string>& names,
                                             const std::string& path) {
  std::string text;
  Complaint complaint = read_scalar(name, text);
  if (!complaint) complaint = check_limit(name, OneOf(names), text);
  if (complaint) {
    complain(path, name.where, *complaint);
    return std::nullopt;
  }
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), text) - names.begin());
}

// Which alternative each layer of a variant's section is about. A layer without a name follows the
// one before it; those before the first name, being a base's, follow that.
std::vector<std::optional<std::size_t>> Loader::picks(const Choice& choice, const std::string& path,
                                                      const Stack& stack) {
  std::vector<std::string> names;
  for (const Choice::Alternative& each : choice.alternatives()) names.push_back(each.name);
  std::vector<std::optional<std::size_t>> picked;
  bool any_name = false;
  for (const Node* node : stack) {
    const Node* name = node->find("name");
    if (name) {
      picked.push_back(picked_by(*name, names, path + ".name"));
    } else {
      picked.push_back(any_name ? picked.back() : std::nullopt);
    }
    if (name && !any_name) std::fill(picked.begin(), picked.end(), picked.back());
    any_name = any_name || name;
  }
  if (!any_name && complete_) {
    complain(path + ".name", stack.front()->where, "is missing: write one of: " + joined(names));
  }
  return picked;
}

void Loader::store(const std::shared_ptr<Choice>& target, const Site& site) {
  const std::string& path = site.path;
  const Stack layers = maps(site, ": write 'name: ...' and its keys below '" + path + ":'");
  if (layers.empty()) return section(target->current(), path, {}, site.live, "name");
  const std::vector<std::optional<std::size_t>> picked = picks(*target, path, layers);
  for (std::size_t i = 0; i < layers.size();) {
    Stack group;
    const std::optional<std::size_t> pick = picked[i];
    while (i < layers.size() && picked[i] == pick) group.push_back(layers[i++]);
    if (!pick) continue;
    target->select(*pick);
    section(target->current(), path, group, site.live && i == layers.size(), "name");
  }
  for (const Node* node : layers) {
    if (const Node* name = node->find("name")) set_at_[path + ".name"] = name->where;
  }
}

// Where a setting was set, or else the nearest section around it that was.
Location Loader::locate(std::string path) const {
  while (!path.empty()) {
    if (const auto found = set_at_.find(path); found != set_at_.end()) return found->second;
    const std::size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
  return {0, 1};
}

}  // namespace

void apply(const Section& root, const Layers& layers, Report& report) {
  Stack stack;
  for (const Node& node : layers.nodes) stack.push_back(&node);
  Loader(root, layers.complete, report).section(root, "", stack, true, "base");
}

}  // namespace adatape::config
