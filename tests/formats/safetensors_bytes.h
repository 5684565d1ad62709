// Makes the bytes of a safetensors file from a header that the test spells out, right or wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace adatape::test {

/// The 8 bytes that announce a header of `length` bytes.
inline std::string prefix_of(uint64_t length) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(length >> (8 * i) & 0xFF);
  return out;
}

/// A file whose header is `json`, followed by `data_bytes` bytes that count upwards.
inline std::string safetensors_bytes(std::string_view json, size_t data_bytes) {
  std::string out = prefix_of(json.size());
  out += json;
  for (size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i & 0xFF);
  return out;
}

}  // namespace adatape::test
