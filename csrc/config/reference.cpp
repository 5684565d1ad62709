#include "csrc/config/reference.h"

#include <memory>
#include <optional>
#include <vector>

#include "csrc/config/known_keys.h"
#include "csrc/config/print.h"
#include "csrc/config/scalar.h"
#include "csrc/config/text.h"
#include "csrc/config/type_text.h"

namespace adatape::config {
namespace {

constexpr const char* kIntroduction = R"(# Configuration reference

A configuration is a YAML file. What it leaves out has the default given here. An unknown key is an
error, and all errors of a file are reported at once.

- `base: other.yaml`, at the top of a file, takes over that file's settings (its path is relative to
  the file that names it). Sections merge key by key; a list replaces a list. A section with another
  `name` than the base's drops the base's other keys of that section.
- `section.key=value` on the command line goes before all files; the value is YAML, as in
  `optimizer.lr=0.01` or `'optimizer.betas=[0.9, 0.99]'`. The last of several wins.
- Booleans are `true` and `false` only. Numbers are decimal and finite; `1e3` is fine, also for a
  whole number, while `010`, `0x10` and `1_000` are errors. A value in quotes is a text. A text
  needs no quotes, even if it looks like a number. `null` is for settings that say so.
)";

std::string cell(std::string text) {
  for (std::size_t i = text.find('|'); i != std::string::npos; i = text.find('|', i + 2)) {
    text.insert(i, "\\");
  }
  return text;
}

std::string code(const std::string& text) { return "`" + text + "`"; }

class Reference {
 public:
  // Sections come after the table of the section that they are in.
  // `condition` ends the titles of what only one alternative of a variant has.
  void section(const Section& section, const std::string& path, const std::string& condition,
               const std::string& doc) {
    heading((path.empty() ? "Top level" : code(path)) + condition, doc);
    table(section);
    for (const Field& field : section.fields) {
      nested(field.value, dotted(path, field.key), condition, field.doc);
    }
  }

  std::string text = kIntroduction;

 private:
  void heading(const std::string& title, const std::string& doc) {
    text += "\n## " + title + "\n";
    if (!doc.empty()) text += "\n" + doc + "\n";
  }

  void table(const Section& section) {
    std::string rows;
    for (const Field& field : section.fields) {
      if (holds_section(field.value)) continue;
      std::string allowed = bounds_text(field.limit);
      if (const OneOf* choices = std::get_if<OneOf>(&field.limit)) {
        std::vector<std::string> names;
        for (const std::string& name : choices->names) names.push_back(code(name));
        allowed = joined(names);
      }
      rows += "| " + code(field.key) + " | " + type_text(field.value) + " | " +
              cell(code(print_value(field.value))) + " | " + cell(allowed) + " | " +
              cell(field.doc) + " |\n";
    }
    if (rows.empty()) return;
    text += "\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n" + rows;
  }

  // The binding that a section is behind, or nothing: lists and optionals are looked into.
  static std::optional<Binding> inside(const Binding& value, std::string& note) {
    if (const auto* list = std::get_if<std::shared_ptr<Sequence>>(&value)) {
      note = "A list of such sections, by default " + code(print_value(value)) + ".";
      return (*list)->prototype();
    }
    if (const auto* optional = std::get_if<std::shared_ptr<Optional>>(&value)) {
      note = "May be null" + std::string((*optional)->has_value() ? "." : ", and is by default.");
      return (*optional)->has_value() ? (*optional)->value() : (*optional)->prototype();
    }
    return std::nullopt;
  }

  static bool holds_section(const Binding& value) {
    std::string note;
    if (const auto inner = inside(value, note)) return holds_section(*inner);
    return std::holds_alternative<std::shared_ptr<Section>>(value) ||
           std::holds_alternative<std::shared_ptr<Choice>>(value);
  }

  void nested(const Binding& value, const std::string& path, const std::string& condition,
              const std::string& doc) {
    std::string note;
    if (const auto inner = inside(value, note)) {
      nested(*inner, path, condition, doc + ". " + note);
    } else if (const auto* plain = std::get_if<std::shared_ptr<Section>>(&value)) {
      section(**plain, path, condition, doc);
    } else if (const auto* choice = std::get_if<std::shared_ptr<Choice>>(&value)) {
      alternatives(**choice, path, condition, doc);
    }
  }

  void alternatives(Choice& choice, const std::string& path, const std::string& condition,
                    const std::string& doc) {
    heading(code(path) + condition, doc);
    const std::vector<Choice::Alternative> all = choice.alternatives();
    std::vector<std::string> names;
    for (const auto& alternative : all) names.push_back(code(alternative.name));
    text += "\nThe key `name` picks one of " + joined(names) + "; the default is " +
            names[choice.index()] + ". The other keys are that one's.\n";
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string picked = code(path + ".name: " + all[i].name);
      section(choice.sample(i), path, condition + (condition.empty() ? " with " : " and ") + picked,
              all[i].doc);
    }
  }
};

}  // namespace

std::string print_reference(const Section& root) {
  Reference reference;
  reference.section(root, "", "", "");
  return reference.text;
}

}  // namespace adatape::config
