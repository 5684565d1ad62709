// What a run says: short lines on standard error, and the same with time and level in its log.txt.
// One log per process, usable from any thread and before open(); a log file that cannot be written
// is reported once and never stops a run. spdlog stays inside log.cpp, since its fmt clashes with
// the one in torch's headers.
#pragma once

#include <string>
#include <string_view>

namespace adatape::log {

enum class Level { kInfo, kWarning, kError };

/// From now on, lines are also appended to `file`. `stderr_too`: whether standard error still gets
/// them. A later call takes the place of an earlier one.
void open(const std::string& file, bool stderr_too = true);

/// Ends the log file: lines go to standard error only, as before open().
void close();

/// On ranks other than 0 only errors are said, and begin with "[rank N]".
void set_rank(int rank);

/// Says one message; standard error shows "message", "warning: message" or "error: message".
void write(Level level, std::string_view message);

void info(std::string_view message);
void warn(std::string_view message);
void error(std::string_view message);

/// Returns once the log file is on the disk.
void flush();

}  // namespace adatape::log
