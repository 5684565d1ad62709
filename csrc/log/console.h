// A place for lines of text, the last of which may be a status line (the progress bar) that stays
// at the bottom: each ordinary line is printed above it. Everything that the program says on
// standard error goes through one Console, from any thread, so lines and bar never tear each other.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace adatape::log {

class Console {
 public:
  using Sink = std::function<void(std::string_view)>;

  /// `sink` takes each piece of output whole; what it cannot deliver is lost.
  explicit Console(Sink sink) : sink_(std::move(sink)) {}

  /// The process's standard error.
  static Console& standard_error();

  /// Prints `text` and a line break above the status line.
  void line(std::string_view text);
  /// Draws `text`, one line no wider than the terminal, in place of the status line.
  void set_status(std::string_view text);
  /// Leaves the status line as it stands above all that follows.
  void keep_status();

 private:
  std::mutex mutex_;
  Sink sink_;
  std::string status_;
};

/// Whether standard error is a terminal that understands cursor movement.
bool stderr_is_terminal();

/// Columns of the terminal behind standard error; 80 where that is unknown.
int stderr_width();

}  // namespace adatape::log
