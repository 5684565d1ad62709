#include "csrc/log/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace adatape::log {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[K";

void write_to_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(STDERR_FILENO, text.data(), text.size());
    if (put < 0 && errno != EINTR) return;  // a closed standard error must not stop a run
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
}

}  // namespace

Console& Console::standard_error() {
  // Never destroyed: destructors of other statics may still have something to say.
  static Console& console = *new Console(write_to_stderr);
  return console;
}

void Console::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  std::string out;
  if (!status_.empty()) out += kClearLine;
  out += text;
  out += '\n';
  sink_(out += status_);
}

void Console::set_status(std::string_view text) {
  const std::lock_guard lock(mutex_);
  status_ = text;
  sink_(std::string(kClearLine) += status_);
}

void Console::keep_status() {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(status_, {}).empty()) sink_("\n");
}

bool stderr_is_terminal() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

int stderr_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace adatape::log
