#include "csrc/formats/error.h"

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace adatape::formats {
namespace {

std::string advice(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; check its permissions";
    case ENOENT:
      return "; check the path";
    default:
      return "";
  }
}

}  // namespace

IoError::IoError(std::string_view action, const std::string& path, int error)
    : FormatError("cannot " + std::string(action) + " " + quote(path) + ": " +
                  std::system_category().message(error) + advice(error)),
      code(error) {}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 120;
  size_t length = text.size();
  if (length > kLongest) {
    length = kLongest;
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  }
  std::string out = "'";
  for (const char c : text.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      out += c;
      continue;
    }
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02X", byte);
    out += escaped;
  }
  return out + (length < text.size() ? "...'" : "'");
}

}  // namespace adatape::formats
