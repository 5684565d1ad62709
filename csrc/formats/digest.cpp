#include "csrc/formats/digest.h"

#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <vector>

#include "csrc/formats/file.h"

namespace adatape::formats {
namespace {

std::string hex(XXH64_hash_t hash) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

}  // namespace

std::string xxh3_hex(const void* data, size_t bytes) { return hex(XXH3_64bits(data, bytes)); }

std::string xxh3_hex_of_file(const std::string& path) {
  const InputFile file(path);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  std::vector<char> piece(size_t{1} << 20);
  for (uint64_t done = 0; done < file.size();) {
    const size_t bytes = std::min<uint64_t>(piece.size(), file.size() - done);
    file.read_at(done, piece.data(), bytes);
    XXH3_64bits_update(state.get(), piece.data(), bytes);
    done += bytes;
  }
  return hex(XXH3_64bits_digest(state.get()));
}

uint32_t crc32c(const void* data, size_t bytes) {
  // ISA-L takes and returns the register as it stands: inverting it before and after is ours.
  // It counts in int, and does not write to its argument although it takes a pointer to non-const.
  constexpr size_t kMost = std::numeric_limits<int>::max();
  auto* in = static_cast<unsigned char*>(const_cast<void*>(data));
  uint32_t crc = ~uint32_t{0};
  while (bytes > 0) {
    const size_t piece = std::min(bytes, kMost);
    crc = crc32_iscsi(in, static_cast<int>(piece), crc);
    in += piece;
    bytes -= piece;
  }
  return ~crc;
}

}  // namespace adatape::formats
