#include "csrc/formats/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace adatape::formats {
namespace {

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

Descriptor::Descriptor(const std::string& path, int flags, const char* action) {
  number_ = retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
  if (number_ < 0) throw IoError(action, path, errno);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

int Descriptor::release() { return std::exchange(number_, -1); }

// O_NONBLOCK: without it, opening a pipe waits for a writer.
InputFile::InputFile(std::string path)
    : path_(std::move(path)), descriptor_(path_, O_RDONLY | O_NONBLOCK, "open") {
  struct stat status;
  if (::fstat(descriptor_.number(), &status) != 0) throw IoError("examine", path_, errno);
  if (!S_ISREG(status.st_mode)) {
    throw FormatError("cannot read " + quote(path_) + ": it is not a regular file; give a file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

void InputFile::read_at(uint64_t offset, void* destination, size_t bytes) const {
  auto* out = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got = retry(
        [&] { return ::pread(descriptor_.number(), out, bytes, static_cast<off_t>(offset)); });
    if (got < 0) throw IoError("read", path_, errno);
    if (got == 0) {
      throw FormatError("cannot read " + quote(path_) + ": it ends at byte " +
                        std::to_string(offset) + ", " + std::to_string(bytes) +
                        " bytes too early; use an intact copy");
    }
    out += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

// O_NOFOLLOW: a link planted under the name must not lead the output elsewhere.
OutputFile::OutputFile(std::string path)
    : path_(std::move(path)),
      descriptor_(path_, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, "create") {}

void OutputFile::write(const void* data, size_t bytes) {
  const auto* in = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = retry([&] { return ::write(descriptor_.number(), in, bytes); });
    if (put < 0) throw IoError("write", path_, errno);
    in += put;
    size_ += static_cast<uint64_t>(put);
    bytes -= static_cast<size_t>(put);
  }
}

bool OutputFile::truncate(uint64_t bytes) noexcept {
  const auto length = static_cast<off_t>(bytes);
  if (retry([&] { return ::ftruncate(descriptor_.number(), length); }) != 0 ||
      ::lseek(descriptor_.number(), length, SEEK_SET) < 0) {
    return false;
  }
  size_ = bytes;
  return true;
}

void OutputFile::sync() {
  if (retry([&] { return ::fsync(descriptor_.number()); }) != 0)
    throw IoError("sync", path_, errno);
}

void OutputFile::close() {
  // After EINTR Linux has closed the descriptor all the same.
  if (::close(descriptor_.release()) != 0 && errno != EINTR) throw IoError("close", path_, errno);
}

}  // namespace adatape::formats
