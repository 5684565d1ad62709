#include "csrc/log/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

namespace adatape::log {
namespace {

constexpr double kSecondsBetweenRedraws = 0.1;
constexpr size_t kLeastBar = 10, kMostBar = 30;

std::string formatted(const char* format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string rate_text(double per_second) {
  if (per_second >= 1e6) return formatted("%.1fM examples/s", per_second / 1e6);
  if (per_second >= 1e4) return formatted("%.1fk examples/s", per_second / 1e3);
  return formatted(per_second < 10 ? "%.1f examples/s" : "%.0f examples/s", per_second);
}

std::vector<std::string> parts_of(const Progress::Fields& fields, double examples_per_second) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : fields) parts.push_back(name + " " + value);
  if (std::isfinite(examples_per_second) && examples_per_second > 0) {
    parts.push_back(rate_text(examples_per_second));
  }
  return parts;
}

std::string count_text(int64_t step, int64_t total) {
  return std::to_string(step) + (total > 0 ? "/" + std::to_string(total) : "");
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// Characters of UTF-8 text.
size_t length_of(const std::string& text) {
  return text.size() -
         static_cast<size_t>(std::count_if(text.begin(), text.end(), continues_character));
}

std::string joined(const std::vector<std::string>& parts, const std::string& last) {
  std::string out;
  for (const std::string& part : parts) out += "  " + part;
  return last.empty() ? out : out + "  " + last;
}

std::string bar_of(int64_t step, int64_t total, size_t cells) {
  const double share = std::clamp(static_cast<double>(step) / static_cast<double>(total), 0.0, 1.0);
  const auto full = static_cast<size_t>(share * static_cast<double>(cells));
  std::string bar(cells, ' ');
  std::fill_n(bar.begin(), full, '=');
  if (full < cells) bar[full] = '>';
  return " [" + bar + "] " + formatted("%3.0f%%", std::floor(share * 100));
}

}  // namespace

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e12));
  const int64_t minutes = whole / 60, hours = minutes / 60;
  char text[64];
  if (hours >= 48) {
    std::snprintf(text, sizeof text, "%lldd %lldh", static_cast<long long>(hours / 24),
                  static_cast<long long>(hours % 24));
  } else if (hours > 0) {
    std::snprintf(text, sizeof text, "%lld:%02d:%02d", static_cast<long long>(hours),
                  static_cast<int>(minutes % 60), static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(minutes),
                  static_cast<int>(whole % 60));
  }
  return text;
}

std::string bar_text(int64_t step, int64_t total, std::vector<std::string> parts,
                     const std::string& time, size_t columns) {
  const std::string count = count_text(step, total);
  std::string rest = joined(parts, time);
  const size_t around = bar_of(0, 1, 0).size();
  const size_t used = length_of(count) + length_of(rest) + around;
  if (total > 0 && used + kLeastBar <= columns) {
    return count + bar_of(step, total, std::min(kMostBar, columns - used)) + rest;
  }
  while (!parts.empty() && length_of(count) + length_of(rest) > columns) {
    parts.pop_back();
    rest = joined(parts, time);
  }
  std::string line = count + rest;
  while (length_of(line) > columns) {
    while (continues_character(line.back())) line.pop_back();
    line.pop_back();
  }
  return line;
}

Progress::Progress(int64_t total, bool terminal, ProgressOptions options)
    : total_(total),
      terminal_(terminal),
      options_(std::move(options)),
      began_(options_.seconds()),
      drawn_(-std::numeric_limits<double>::infinity()),
      shown_(options_.start) {}

void Progress::update(int64_t step, const Fields& fields, double examples_per_second) {
  const bool last = step == total_;
  const double now = options_.seconds();
  if (terminal_) {
    if (!last && now - drawn_ < kSecondsBetweenRedraws) return;
    drawn_ = now;
    // One column stays free: some terminals wrap a line that fills them.
    const auto columns = static_cast<size_t>(std::max(options_.width() - 1, 1));
    options_.console->set_status(bar_text(step, total_, parts_of(fields, examples_per_second),
                                          time_text(step, now), columns));
    return;
  }
  const int64_t every = std::max<int64_t>(options_.every, 1);
  if (step / every == shown_ / every && !(last && step != shown_)) return;
  shown_ = step;
  options_.console->line("step " + count_text(step, total_) +
                         joined(parts_of(fields, examples_per_second), time_text(step, now)));
}

void Progress::finish() {
  if (terminal_) options_.console->keep_status();
}

std::string Progress::time_text(int64_t step, double now) const {
  const double took = now - began_;
  const int64_t done = step - options_.start;
  if (total_ <= 0 || done <= 0) return "";
  if (step >= total_) return "took " + duration_text(took);
  return "ETA " +
         duration_text(took / static_cast<double>(done) * static_cast<double>(total_ - step));
}

}  // namespace adatape::log
