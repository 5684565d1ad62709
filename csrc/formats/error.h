// The errors of file formats: what a file says wrongly (FormatError) and what the system refuses
// (IoError, with its errno). Both are one sentence that names the file, fit to be shown to a user
// as they are. Catching FormatError catches both.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace adatape::formats {

/// A file whose content is not what its format allows, or a request that no file can hold.
struct FormatError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A system call on a file failed. `code` is its errno (ENOSPC: the disk is full).
struct IoError : FormatError {
  /// "cannot <action> '<path>': <text of code>", with what to do about it where that is known.
  IoError(std::string_view action, const std::string& path, int code);
  int code;
};

/// `text` between single quotes, made safe for one line of a terminal: control characters become
/// \xNN, and more than 120 bytes are shortened.
std::string quote(std::string_view text);

}  // namespace adatape::formats
