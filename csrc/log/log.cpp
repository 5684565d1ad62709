#include "csrc/log/log.h"

#include <fcntl.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include "csrc/log/console.h"

namespace adatape::log {
namespace {

using Sinks = std::vector<spdlog::sink_ptr>;

class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string text;
    if (message.level == spdlog::level::warn) text = "warning: ";
    if (message.level == spdlog::level::err) text = "error: ";
    text.append(message.payload.data(), message.payload.size());
    Console::standard_error().line(text);
  }
  void flush_() override {}
};

/// Writes each line through at once, unlike spdlog's own file sink, whose buffer may be lost with
/// the process and whose failure to flush goes unseen in the versions that distributions carry.
class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::string path)
      : path_(std::move(path)),
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    set_formatter_(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%e%z %l: %v"));
    if (file_ < 0) report(errno);
  }
  ~FileSink() override {
    if (file_ >= 0) ::close(file_);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (file_ < 0) return;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    for (size_t done = 0; done < line.size();) {
      const ssize_t put = ::write(file_, line.data() + done, line.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return report(errno);
      done += static_cast<size_t>(put);
    }
  }

  void flush_() override {
    if (file_ >= 0) ::fsync(file_);
  }

 private:
  void report(int code) {
    if (std::exchange(reported_, true)) return;
    Console::standard_error().line("warning: cannot write the log '" + path_ +
                                   "': " + std::system_category().message(code) +
                                   "; the run goes on without it");
  }

  std::string path_;
  int file_;
  bool reported_ = false;
};

spdlog::level::level_enum spdlog_level(Level level) {
  if (level == Level::kError) return spdlog::level::err;
  return level == Level::kWarning ? spdlog::level::warn : spdlog::level::info;
}

struct State {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger;
  std::atomic<int> rank = 0;
};

State& state() {
  // Never destroyed, so that destructors of other statics can log.
  static State& state = *new State;
  return state;
}

void set_sinks(Sinks sinks) {
  const std::lock_guard lock(state().mutex);
  state().logger = std::make_shared<spdlog::logger>("adatape", sinks.begin(), sinks.end());
}

std::shared_ptr<spdlog::logger> logger() {
  const std::lock_guard lock(state().mutex);
  if (!state().logger) {
    state().logger = std::make_shared<spdlog::logger>("adatape", std::make_shared<StderrSink>());
  }
  return state().logger;
}

}  // namespace

void open(const std::string& file, bool stderr_too) {
  Sinks sinks{std::make_shared<FileSink>(file)};
  if (stderr_too) sinks.push_back(std::make_shared<StderrSink>());
  set_sinks(std::move(sinks));
}

void close() { set_sinks({std::make_shared<StderrSink>()}); }

void set_rank(int rank) { state().rank = rank; }

void write(Level level, std::string_view message) {
  const int rank = state().rank;
  if (rank == 0) {
    logger()->log(spdlog_level(level), spdlog::string_view_t(message.data(), message.size()));
  } else if (level == Level::kError) {
    const std::string text = "[rank " + std::to_string(rank) + "] " + std::string(message);
    logger()->log(spdlog::level::err, spdlog::string_view_t(text.data(), text.size()));
  }
}

void info(std::string_view message) { write(Level::kInfo, message); }
void warn(std::string_view message) { write(Level::kWarning, message); }
void error(std::string_view message) { write(Level::kError, message); }

void flush() { logger()->flush(); }

}  // namespace adatape::log
