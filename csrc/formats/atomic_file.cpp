#include "csrc/formats/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace adatape::formats {
namespace {

namespace fs = std::filesystem;

/// `path` without a slash at its end, which would hide its last name.
std::string plain(const std::string& path) {
  const fs::path whole(path);
  return (whole.has_filename() ? whole : whole.parent_path()).string();
}

std::string parent_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

/// Flushes a file's content, or a folder's list of names.
void sync_path(const std::string& path) {
  const Descriptor descriptor(path, O_RDONLY, "open");
  while (::fsync(descriptor.number()) != 0) {
    if (errno == EINVAL) return;  // file systems without a flush for folders say so
    if (errno != EINTR) throw IoError("sync", path, errno);
  }
}

void rename_and_sync(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw IoError("rename " + quote(from) + " to", to, errno);
  }
  sync_path(parent_of(to));
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw IoError("remove", path, error.value());
}

void sync_tree(const std::string& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    sync_path(entry->path().string());
  }
  if (error) throw IoError("list", folder, error.value());
  sync_path(folder);
}

}  // namespace

std::string temporary_name(const std::string& path) {
  const fs::path whole(plain(path));
  return (whole.parent_path() / ("." + whole.filename().string() + ".tmp")).string();
}

namespace {

OutputFile open_temporary(const std::string& path) {
  try {
    return OutputFile(temporary_name(path));
  } catch (const IoError& error) {  // the temporary name would mean nothing to a user
    throw IoError("create", path, error.code);
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), file_(open_temporary(path)) {}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(file_.path().c_str());
}

void AtomicFile::commit() {
  file_.sync();
  file_.close();
  rename_and_sync(file_.path(), path_);
  committed_ = true;
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

AtomicFolder::AtomicFolder(const std::string& path)
    : path_(plain(path)), temporary_(temporary_name(path)) {
  remove_tree(temporary_);
  std::error_code error;
  fs::create_directories(temporary_, error);
  if (error) throw IoError("create", temporary_, error.value());
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  sync_tree(temporary_);
  rename_and_sync(temporary_, path_);
  committed_ = true;
}

void remove_temporaries(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() > 5 && name.front() == '.' && name.ends_with(".tmp")) {
      remove_tree(entry->path().string());
    }
  }
  if (error) throw IoError("list", folder, error.value());
}

}  // namespace adatape::formats
