// What is wrong with a configuration, and where. Loading collects every problem before it throws
// the one exception that leaves this library, so that a user mends a file in one go.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace adatape::config {

/// One complaint. `file` is a path as the user gave it, or "command line: 'key=value'"; `line`
/// counts from 1 and is 0 where there are no lines.
struct Problem {
  std::string file;
  int line = 0;
  std::string message;
  /// "file:line: message", on one line and free of control characters.
  std::string text() const;
};

/// Thrown by loading; what() is one line per problem, in the order of files and lines.
struct Error : std::runtime_error {
  explicit Error(std::vector<Problem> list);
  std::vector<Problem> problems;
};

/// A place in one of the sources of a Report.
struct Location {
  int source = 0;
  int line = 0;
};

/// Collects problems. It keeps the first 200 and counts the others: a hostile file may hold many.
class Report {
 public:
  /// Registers a file or an override; problems are sorted in the order of registration.
  int add_source(std::string_view name);
  void add(Location where, std::string_view message);
  int count() const { return count_; }
  /// True once further problems are only counted, and their texts need not be composed.
  bool full() const;
  /// Throws Error if there is any problem.
  void raise_if_any() const;

 private:
  struct Entry {
    Location where;
    std::string message;
  };
  std::vector<std::string> sources_;
  std::vector<Entry> entries_;
  int count_ = 0;
};

}  // namespace adatape::config
