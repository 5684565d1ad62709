// Files of tensors in the safetensors format, as Python's safetensors package reads and writes
// them. Opening a file reads and checks its header only; each tensor is read into the caller's
// memory when asked for, so a large checkpoint is never in memory twice. The format is
// little-endian.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/formats/file.h"
#include "csrc/formats/safetensors_header.h"

namespace adatape::formats {

/// An open file. Reading is safe from several threads at once.
class SafetensorsFile {
 public:
  /// Throws FormatError (IoError where the system refuses) naming the file and the tensor at fault.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  /// In the order of their data.
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const Metadata& metadata() const { return header_.metadata; }

  /// Null if the file has no tensor of that name.
  const TensorInfo* find(std::string_view name) const;
  /// Like find(), but throws FormatError naming file and tensor.
  const TensorInfo& at(std::string_view name) const;

  /// Copies the data of one of tensors() to `destination`, which holds tensor.bytes() bytes.
  void read(const TensorInfo& tensor, void* destination) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
  std::map<std::string_view, size_t> index_;  // views of the names in header_
};

/// A tensor to be written: contiguous, row-major. `data` may be null if it has no element.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

/// Writes the tensors in the order given; the same arguments give the same bytes. The file appears
/// whole or not at all (AtomicFile). Throws FormatError, IoError on a full disk.
void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors,
                       const Metadata& metadata = {});

}  // namespace adatape::formats
