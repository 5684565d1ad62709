// How far a run is: on a terminal one line redrawn in place, elsewhere a plain line every so many
// steps. Log lines pass above the bar, since both go through the same Console.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "csrc/log/console.h"

namespace adatape::log {

/// Seconds of a clock that never goes back.
double steady_seconds();

struct ProgressOptions {
  int64_t start = 0;    ///< steps done before (after a resume)
  int64_t every = 100;  ///< off a terminal: steps between lines
  Console* console = &Console::standard_error();
  std::function<double()> seconds = steady_seconds;
  std::function<int()> width = stderr_width;  ///< columns, asked at each redraw
};

/// One training or evaluation loop of `total` steps. Used from one thread.
class Progress {
 public:
  /// What a step reports, in the order shown: {"loss", "0.693"}, {"tape", "4.0"}.
  using Fields = std::vector<std::pair<std::string, std::string>>;

  /// `total` 0: not known; then there is no bar and no ETA.
  Progress(int64_t total, bool terminal, ProgressOptions options = {});
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { finish(); }

  /// Steps done so far, and what to show with them; an `examples_per_second` of 0 is not shown.
  /// Redraws at most ten times a second; the last step is always shown.
  void update(int64_t step, const Fields& fields, double examples_per_second);
  /// Leaves the bar where it is; lines that follow come below it.
  void finish();

 private:
  std::string time_text(int64_t step, double now) const;

  int64_t total_;
  bool terminal_;
  ProgressOptions options_;
  double began_;
  double drawn_;   // when the bar was last drawn
  int64_t shown_;  // step of the last line off a terminal
};

/// One line of at most `columns` characters: counts, a bar where there is room, the parts, the
/// time. Parts are left out from the last on where they do not fit.
std::string bar_text(int64_t step, int64_t total, std::vector<std::string> parts,
                     const std::string& time, size_t columns);

/// "3:07", "2:03:07" or "5d 2h" for a number of seconds.
std::string duration_text(double seconds);

}  // namespace adatape::log
