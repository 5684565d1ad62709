// Checksums: XXH3-64 tells whether a checkpoint's file is the one that was written, CRC-32C guards
// the records of TensorBoard's event files. Neither resists forgery; both find accidents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace adatape::formats {

/// XXH3-64 (seed 0) as 16 lower-case hexadecimal digits, most significant first, as `xxhsum -H3`
/// prints it.
std::string xxh3_hex(const void* data, size_t bytes);

/// xxh3_hex of a file's content, read in pieces. Throws IoError.
std::string xxh3_hex_of_file(const std::string& path);

/// CRC-32C (Castagnoli, RFC 3720): 0xE3069283 for "123456789".
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace adatape::formats
