#include "csrc/config/tree_builder.h"

#include <yaml-cpp/mark.h>

#include <algorithm>
#include <utility>

#include "csrc/config/text.h"
#include "csrc/config/yaml_reader.h"

namespace adatape::config {
namespace {

std::size_t values_in(const Node& node) {
  std::size_t total = 1;
  for (const Node& item : node.items) total += values_in(item);
  for (const Entry& entry : node.entries) total += values_in(entry.value);
  return total;
}

}  // namespace

TreeBuilder::TreeBuilder(int source, int last_line, Report& report)
    : source_(source), last_line_(last_line), report_(report), last_{source, last_line > 0} {
  root_.where = last_;
}

Location TreeBuilder::locate(const YAML::Mark& mark) const {
  return {source_, last_line_ == 0 ? 0 : std::clamp(mark.line + 1, 1, last_line_)};
}

Location TreeBuilder::innermost() const { return stack_.empty() ? last_ : stack_.back().open; }

void TreeBuilder::stop(Location where, const std::string& message) {
  report_.add(where, message);
  throw Stop{};
}

void TreeBuilder::spend(std::size_t values, Location where) {
  spent_ += values;
  if (spent_ > kMaxValues) {
    stop(where, "the file holds more than " + std::to_string(kMaxValues) +
                    " values, counting each alias in full");
  }
}

void TreeBuilder::check_tag(const std::string& tag, Location where) {
  if (tag.empty() || tag == "?" || tag == "!") return;
  report_.add(where, "a tag such as " + quote(tag) + " has no use here: remove it");
}

void TreeBuilder::OnDocumentStart(const YAML::Mark& mark) {
  if (std::exchange(started_, true)) {
    stop(locate(mark),
         "a second document begins here: a file holds one; check for '---' or '...', or a line "
         "indented less than the first");
  }
}

void TreeBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  Node node;
  node.where = locate(mark);
  finish(std::move(node), anchor);
}

void TreeBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const Location where = last_ = locate(mark);
  const auto found = anchored_.find(anchor);
  if (found == anchored_.end()) stop(where, "an alias stands inside the very value that it names");
  Node copy = found->second;
  copy.where = where;
  spend(values_in(copy), where);
  place(std::move(copy));
}

void TreeBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                           const std::string& value) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.where = locate(mark);
  node.quoted = tag == "!";
  node.text = value;
  check_tag(tag, node.where);
  // yaml-cpp turns the escapes \N and \_ into bytes that are no UTF-8.
  if (!is_utf8(value) || value.find('\0') != std::string::npos) {
    report_.add(node.where, "the text " + quote(value) + " holds an escape for a character that " +
                                "is not supported");
  }
  finish(std::move(node), anchor);
}

void TreeBuilder::OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                                  YAML::anchor_t anchor, YAML::EmitterStyle::value) {
  check_tag(tag, locate(mark));
  open(Node::Kind::kList, locate(mark), anchor);
}

void TreeBuilder::OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                             YAML::EmitterStyle::value) {
  check_tag(tag, locate(mark));
  open(Node::Kind::kMap, locate(mark), anchor);
}

void TreeBuilder::open(Node::Kind kind, Location where, YAML::anchor_t anchor) {
  last_ = where;
  if (stack_.size() >= kMaxDepth) {
    stop(where, "values are nested more than " + std::to_string(kMaxDepth) + " deep");
  }
  Frame frame;
  frame.node.kind = kind;
  frame.node.where = frame.open = where;
  frame.anchor = anchor;
  stack_.push_back(std::move(frame));
}

void TreeBuilder::close() {
  Frame frame = std::move(stack_.back());
  stack_.pop_back();
  finish(std::move(frame.node), frame.anchor);
}

void TreeBuilder::finish(Node node, YAML::anchor_t anchor) {
  last_ = node.where;
  spend(1, node.where);
  if (anchor != 0) {
    spend(values_in(node), node.where);
    anchored_[anchor] = node;
  }
  place(std::move(node));
}

void TreeBuilder::place(Node node) {
  if (stack_.empty()) {
    root_ = std::move(node);
    return;
  }
  Frame& frame = stack_.back();
  if (frame.node.kind == Node::Kind::kList) {
    frame.node.items.push_back(std::move(node));
  } else if (!frame.has_key) {
    set_key(frame, node);
  } else {
    frame.has_key = false;
    if (!frame.key) return;
    node.where = frame.key_where;
    frame.node.entries.push_back({std::move(*frame.key), std::move(node)});
  }
}

void TreeBuilder::set_key(Frame& frame, const Node& node) {
  frame.has_key = true;
  frame.key.reset();
  frame.key_where = node.where;
  if (node.kind != Node::Kind::kScalar || node.text.empty()) {
    report_.add(node.where, "a key must be a plain word, as in 'key: value'");
  } else if (node.text == "<<" && !node.quoted) {
    report_.add(node.where,
                "merge keys (<<) are not supported: write the keys out, or use 'base: file.yaml'");
  } else if (const auto [first, fresh] = frame.lines.emplace(node.text, node.where.line); !fresh) {
    report_.add(node.where,
                "the key " + quote(node.text) + " is given twice" +
                    (last_line_ > 0 ? ", first on line " + std::to_string(first->second) : "") +
                    ": keep one");
  } else {
    frame.key = node.text;
  }
}

}  // namespace adatape::config
