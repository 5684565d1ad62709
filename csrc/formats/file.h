// Plain files whose every failure is an IoError that names the path: short writes, a full disk, a
// file that shrinks while it is read. Calls that a signal interrupts go on, so that a save which
// SIGTERM asked for is not broken by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "csrc/formats/error.h"

namespace adatape::formats {

/// A file descriptor that closes itself. Negative: none.
class Descriptor {
 public:
  Descriptor() = default;
  /// Opens `path` with open(2)'s flags; close-on-exec is added. Throws IoError "cannot <action> …".
  Descriptor(const std::string& path, int flags, const char* action);
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int number() const { return number_; }
  /// Gives up the number: the caller closes it.
  int release();

 private:
  int number_ = -1;
};

/// A regular file, open for reading at any offset, from any thread.
class InputFile {
 public:
  /// Throws IoError, or FormatError if `path` is a folder, a pipe or a device.
  explicit InputFile(std::string path);

  const std::string& path() const { return path_; }
  /// Bytes, as they were when the file was opened.
  uint64_t size() const { return size_; }
  /// Fills `bytes` bytes at `destination` from `offset`. Throws FormatError if the file ends first.
  void read_at(uint64_t offset, void* destination, size_t bytes) const;

 private:
  std::string path_;
  Descriptor descriptor_;
  uint64_t size_ = 0;
};

/// A new file (an older one of that name loses its content), written from start to end.
class OutputFile {
 public:
  explicit OutputFile(std::string path);

  const std::string& path() const { return path_; }
  /// Bytes written so far.
  uint64_t size() const { return size_; }
  void write(const void* data, size_t bytes);
  /// Drops everything after the first `bytes` bytes; false if the system refuses. For use where a
  /// write has failed already, so it does not throw.
  bool truncate(uint64_t bytes) noexcept;
  /// Returns once the content is on the disk.
  void sync();
  /// Some file systems report a full disk only here.
  void close();

 private:
  std::string path_;
  Descriptor descriptor_;
  uint64_t size_ = 0;
};

}  // namespace adatape::formats
