#include "csrc/config/print.h"

#include <optional>

#include "csrc/config/known_keys.h"
#include "csrc/config/scalar.h"
#include "csrc/config/text.h"

namespace adatape::config {
namespace {

// A section to print: `name` is set for the active alternative of a variant.
struct Inner {
  std::optional<std::string> name;
  Section section;
};

// The section that a value is; nothing for scalars, lists, and an optional without a value.
std::optional<Inner> as_section(const Binding& value) {
  if (const auto* section = std::get_if<std::shared_ptr<Section>>(&value)) {
    return Inner{std::nullopt, **section};
  }
  if (const auto* choice = std::get_if<std::shared_ptr<Choice>>(&value)) {
    return Inner{(*choice)->alternatives()[(*choice)->index()].name, (*choice)->current()};
  }
  if (const auto* optional = std::get_if<std::shared_ptr<Optional>>(&value)) {
    if ((*optional)->has_value()) return as_section((*optional)->value());
  }
  return std::nullopt;
}

std::string print_inner(const Binding& value) {
  const Inner inner = *as_section(value);
  std::vector<std::string> parts;
  if (inner.name) parts.push_back("name: " + print_scalar(*inner.name));
  for (const Field& field : inner.section.fields) {
    parts.push_back(field.key + ": " + print_value(field.value));
  }
  return "{" + joined(parts) + "}";
}

struct PrintValue {
  std::string operator()(int* v) const { return print_scalar(std::int64_t{*v}); }
  std::string operator()(const std::shared_ptr<Sequence>& list) const {
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < list->size(); ++i) parts.push_back(print_value(list->at(i)));
    return "[" + joined(parts) + "]";
  }
  std::string operator()(const std::shared_ptr<Optional>& v) const {
    return v->has_value() ? print_value(v->value()) : "null";
  }
  std::string operator()(const std::shared_ptr<Section>& v) const { return print_inner(v); }
  std::string operator()(const std::shared_ptr<Choice>& v) const { return print_inner(v); }
  template <class T>
  std::string operator()(T* v) const {
    return print_scalar(*v);
  }
};

void print_block(const Inner& inner, const std::string& indent, std::string& out) {
  if (inner.name) out += indent + "name: " + print_scalar(*inner.name) + "\n";
  for (const Field& field : inner.section.fields) {
    const std::optional<Inner> nested = as_section(field.value);
    out += indent + field.key + ":";
    if (nested && (nested->name || !nested->section.fields.empty())) {
      out += "\n";
      print_block(*nested, indent + "  ", out);
    } else {
      out += " " + print_value(field.value) + "\n";
    }
  }
}

void flatten_into(const Inner& inner, const std::string& path,
                  std::vector<std::pair<std::string, std::string>>& out) {
  if (inner.name) out.emplace_back(dotted(path, "name"), print_scalar(*inner.name));
  for (const Field& field : inner.section.fields) {
    const std::string key = dotted(path, field.key);
    if (const std::optional<Inner> nested = as_section(field.value)) {
      flatten_into(*nested, key, out);
    } else {
      out.emplace_back(key, print_value(field.value));
    }
  }
}

}  // namespace

std::string print_value(const Binding& value) { return std::visit(PrintValue{}, value); }

std::string print_yaml(const Section& root) {
  std::string out;
  print_block({std::nullopt, root}, "", out);
  return out;
}

std::vector<std::pair<std::string, std::string>> print_flat(const Section& root) {
  std::vector<std::pair<std::string, std::string>> out;
  flatten_into({std::nullopt, root}, "", out);
  return out;
}

}  // namespace adatape::config
