// Builds the tree of Nodes from yaml-cpp's events, and reports what is legal YAML but no
// configuration. Bounds depth and the number of values, with every alias counted in full.
#pragma once

#include <yaml-cpp/eventhandler.h>

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "csrc/config/node.h"

namespace adatape::config {

class TreeBuilder final : public YAML::EventHandler {
 public:
  /// Thrown out of the parser after a problem was reported that makes going on senseless.
  struct Stop {};

  /// `last_line` is 0 where the source has no lines.
  TreeBuilder(int source, int last_line, Report& report);

  /// The finished document.
  Node take() { return std::move(root_); }

  Location locate(const YAML::Mark& mark) const;
  /// Where the last event was.
  Location last() const { return last_; }
  /// Where the innermost open list or map begins.
  Location innermost() const;

  void OnDocumentStart(const YAML::Mark& mark) override;
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override;
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override;
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    Location open;
    YAML::anchor_t anchor = 0;
    bool has_key = false;            // map: the next node is the value of `key`
    std::optional<std::string> key;  // nothing for a key that was refused
    Location key_where;
    std::unordered_map<std::string, int> lines;  // of the keys so far
  };

  [[noreturn]] void stop(Location where, const std::string& message);
  void spend(std::size_t values, Location where);
  void check_tag(const std::string& tag, Location where);
  void open(Node::Kind kind, Location where, YAML::anchor_t anchor);
  void close();
  void finish(Node node, YAML::anchor_t anchor);
  void place(Node node);
  void set_key(Frame& frame, const Node& node);

  int source_;
  int last_line_;
  Report& report_;
  Node root_;
  Location last_;
  bool started_ = false;
  std::size_t spent_ = 0;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Node> anchored_;
};

}  // namespace adatape::config
