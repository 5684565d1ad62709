#include "csrc/formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "csrc/formats/safetensors_json.h"

namespace adatape::formats {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  size_t size;
};

constexpr std::array<DtypeRow, 19> kDtypes{{
    {Dtype::BOOL, "BOOL", 1},
    {Dtype::U8, "U8", 1},
    {Dtype::I8, "I8", 1},
    {Dtype::F8_E5M2, "F8_E5M2", 1},
    {Dtype::F8_E4M3, "F8_E4M3", 1},
    {Dtype::F8_E8M0, "F8_E8M0", 1},
    {Dtype::F8_E4M3FNUZ, "F8_E4M3FNUZ", 1},
    {Dtype::F8_E5M2FNUZ, "F8_E5M2FNUZ", 1},
    {Dtype::I16, "I16", 2},
    {Dtype::U16, "U16", 2},
    {Dtype::F16, "F16", 2},
    {Dtype::BF16, "BF16", 2},
    {Dtype::I32, "I32", 4},
    {Dtype::U32, "U32", 4},
    {Dtype::F32, "F32", 4},
    {Dtype::C64, "C64", 8},
    {Dtype::F64, "F64", 8},
    {Dtype::I64, "I64", 8},
    {Dtype::U64, "U64", 8},
}};
static_assert(std::ranges::is_sorted(kDtypes, {}, &DtypeRow::dtype), "rows are found by number");

std::string json_text(const std::string& text, const std::string& file) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw FormatError("cannot write " + quote(file) + ": the name or text " + quote(text) +
                      " is not valid UTF-8; rename it");
  }
}

template <typename Integers>
std::string json_list(const Integers& values) {
  std::string out = "[";
  for (const auto value : values) {
    if (out.size() > 1) out += ',';
    out += std::to_string(value);
  }
  return out + "]";
}

/// The tensors must follow one another without hole or overlap and end where the data end.
void check_places(std::vector<TensorInfo>& tensors, uint64_t data_bytes, const std::string& file) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.begin != end) {
      throw damaged(file, "tensor " + quote(tensor.name) + " begins at byte " +
                              std::to_string(tensor.begin) + " of the data where byte " +
                              std::to_string(end) + " is due, which leaves " +
                              (tensor.begin > end ? "a hole" : "an overlap"));
    }
    end = tensor.end;
    if (end > data_bytes) {
      throw damaged(file, "tensor " + quote(tensor.name) + " ends at byte " + std::to_string(end) +
                              " of the data, of which there are " + std::to_string(data_bytes));
    }
  }
  if (end != data_bytes) {
    throw damaged(file, std::to_string(data_bytes - end) + " bytes follow the last tensor" +
                            (tensors.empty() ? "" : " " + quote(tensors.back().name)));
  }
}

}  // namespace

size_t dtype_size(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].size; }

std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const DtypeRow& row : kDtypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<uint64_t> tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape) {
  int64_t bytes = static_cast<int64_t>(dtype_size(dtype));
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) {
      return std::nullopt;
    }
    empty = empty || size == 0;
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

uint64_t safetensors_header_bytes(std::string_view prefix, uint64_t file_bytes,
                                  const std::string& file) {
  if (prefix.size() < kSafetensorsPrefix || file_bytes < kSafetensorsPrefix) {
    throw damaged(file, "it has " + std::to_string(file_bytes) +
                            " bytes, and the length of the header alone takes 8");
  }
  uint64_t length = 0;
  for (size_t i = kSafetensorsPrefix; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(prefix[i]);
  }
  if (length > kMostHeaderBytes) {
    throw damaged(file, "it announces a header of " + std::to_string(length) +
                            " bytes, above the format's limit of " +
                            std::to_string(kMostHeaderBytes));
  }
  if (length > file_bytes - kSafetensorsPrefix) {
    throw damaged(file, "it announces a header of " + std::to_string(length) + " bytes, but only " +
                            std::to_string(file_bytes - kSafetensorsPrefix) + " follow");
  }
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& file) {
  SafetensorsHeader header = parse_safetensors_json(json, file);
  check_places(header.tensors, data_bytes, file);
  header.data_begin = kSafetensorsPrefix + json.size();
  return header;
}

SafetensorsHeader parse_safetensors(std::string_view content, const std::string& file) {
  const uint64_t bytes =
      safetensors_header_bytes(content.substr(0, kSafetensorsPrefix), content.size(), file);
  return parse_safetensors_header(content.substr(kSafetensorsPrefix, bytes),
                                  content.size() - kSafetensorsPrefix - bytes, file);
}

std::string serialize_safetensors_header(const std::vector<TensorInfo>& tensors,
                                         const Metadata& metadata, const std::string& file) {
  std::string json;
  for (const auto& [key, text] : metadata) {
    json += (json.empty() ? "{\"__metadata__\":{" : ",") + json_text(key, file) + ":" +
            json_text(text, file);
  }
  json += metadata.empty() ? "{" : "}";
  std::set<std::string_view> names;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      throw FormatError("cannot write " + quote(file) + ": the tensor name " + quote(tensor.name) +
                        " is reserved or used twice; rename it");
    }
    json += (json.size() > 1 ? "," : "") + json_text(tensor.name, file) + ":{\"dtype\":\"" +
            std::string(dtype_name(tensor.dtype)) + "\",\"shape\":" + json_list(tensor.shape) +
            ",\"data_offsets\":" + json_list(std::array{tensor.begin, tensor.end}) + "}";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kMostHeaderBytes) {
    throw FormatError("cannot write " + quote(file) + ": its header of " +
                      std::to_string(json.size()) +
                      " bytes is above the format's limit; write fewer tensors into one file");
  }
  std::string prefix;
  for (size_t i = 0; i < kSafetensorsPrefix; ++i) {
    prefix += static_cast<char>(static_cast<uint64_t>(json.size()) >> (8 * i) & 0xFF);
  }
  return prefix + json;
}

}  // namespace adatape::formats
