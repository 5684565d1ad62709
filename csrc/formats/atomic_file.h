// Files and folders that appear whole or not at all: written under a temporary name beside the
// final one (`.NAME.tmp`), flushed to the disk, renamed, and the parent folder flushed, so that
// neither a crash nor a power cut leaves half of one under its final name. One writer per name.
// Errors are IoErrors naming the path; whatever was there before is then untouched.
#pragma once

#include <string>
#include <string_view>

#include "csrc/formats/file.h"

namespace adatape::formats {

/// A file that appears at `path` on commit(); without it the temporary file is removed.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(const void* data, size_t bytes) { file_.write(data, bytes); }
  /// Replaces a file of that name, if there is one.
  void commit();

 private:
  std::string path_;
  OutputFile file_;
  bool committed_ = false;
};

/// Writes `content` to `path` through an AtomicFile.
void write_file(const std::string& path, std::string_view content);

/// A folder that appears at `path` on commit(); without it the temporary folder is removed.
class AtomicFolder {
 public:
  /// Makes the temporary folder, in place of one that an earlier crash left.
  explicit AtomicFolder(const std::string& path);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();

  /// Where to write the folder's files until commit().
  const std::string& temporary() const { return temporary_; }
  /// Flushes every file within. Throws if a non-empty folder has the final name already.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  bool committed_ = false;
};

/// The name under which `path` is being written: `.NAME.tmp` in the same folder.
std::string temporary_name(const std::string& path);

/// Removes what interrupted writers left in `folder`: every entry called `.NAME.tmp`.
void remove_temporaries(const std::string& folder);

}  // namespace adatape::formats
