// libFuzzer target of the safetensors reader: no input may crash it or make it read outside the
// input, and whatever it accepts must come back equal after being written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "csrc/formats/safetensors_header.h"

namespace {

using adatape::formats::FormatError;
using adatape::formats::SafetensorsHeader;

constexpr char kFile[] = "fuzz.safetensors";

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  SafetensorsHeader header;
  try {
    header = adatape::formats::parse_safetensors(content, kFile);
  } catch (const FormatError& error) {
    require(std::string_view(error.what()).find(kFile) != std::string_view::npos);
    return 0;
  }
  uint64_t end = 0;
  for (const auto& tensor : header.tensors) {
    require(tensor.begin == end && tensor.end >= tensor.begin);
    require(adatape::formats::tensor_bytes(tensor.dtype, tensor.shape) == tensor.bytes());
    end = tensor.end;
  }
  require(header.data_begin + end == size);
  const std::string again =
      adatape::formats::serialize_safetensors_header(header.tensors, header.metadata, kFile) +
      std::string(content.substr(header.data_begin));
  SafetensorsHeader second = adatape::formats::parse_safetensors(again, kFile);
  second.data_begin = header.data_begin;  // white space and escapes may differ
  require(second == header);
  return 0;
}
