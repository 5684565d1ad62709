// The header of the safetensors format: 8 bytes of length (little-endian), then JSON text that
// gives each tensor's type, shape and place in the data that follow.
//
// A header is refused unless the tensors fill the data exactly: from byte 0, without hole, overlap
// or rest, each as many bytes as its type and shape need. This is the rule of the reference
// implementation; beyond it, unknown keys, repeated names and shapes whose strides overflow are
// refused. Every check is made before memory of the claimed size is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/formats/error.h"

namespace adatape::formats {

/// Element types under the format's own names. Its sub-byte types (F4, F6_*) are refused.
enum class Dtype : uint8_t {
  BOOL,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64,
};

/// Bytes per element.
size_t dtype_size(Dtype dtype);
std::string_view dtype_name(Dtype dtype);
std::optional<Dtype> dtype_from_name(std::string_view name);

/// One tensor of a file. `begin` and `end` count bytes from where the data begin.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t bytes() const { return end - begin; }
  friend bool operator==(const TensorInfo&, const TensorInfo&) = default;
};

/// The free texts that a file may carry under `__metadata__`.
using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< in the order of their data
  Metadata metadata;
  uint64_t data_begin = 0;  ///< bytes from the start of the file

  friend bool operator==(const SafetensorsHeader&, const SafetensorsHeader&) = default;
};

/// Bytes that a tensor takes, or nothing where it overflows or a size is negative. Sizes of zero
/// count as one for the overflow check, since strides are computed from them so.
std::optional<uint64_t> tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape);

constexpr size_t kSafetensorsPrefix = 8;
/// The reference implementation's limits on the JSON text.
constexpr uint64_t kMostHeaderBytes = 100'000'000;
/// torch and numpy hold no tensor of more dimensions.
constexpr size_t kMostDimensions = 64;

/// Bytes of JSON text that the first 8 bytes of a file announce. `file` is for the error's text.
uint64_t safetensors_header_bytes(std::string_view prefix, uint64_t file_bytes,
                                  const std::string& file);

/// Parses and checks the JSON text of a file whose data are `data_bytes` long.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& file);

/// Parses and checks a whole file in memory.
SafetensorsHeader parse_safetensors(std::string_view content, const std::string& file);

/// The bytes before the data: length, JSON (metadata, then the tensors in the order given) and
/// spaces up to a multiple of 8. Their begin and end must be set. Throws FormatError for a repeated
/// or reserved name, text that is not UTF-8, or a header above the limit.
std::string serialize_safetensors_header(const std::vector<TensorInfo>& tensors,
                                         const Metadata& metadata, const std::string& file);

}  // namespace adatape::formats
