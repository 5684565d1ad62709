// Barriers, warp collectives, atomics and copies: what kernels call by CUDA's names.
#include <algorithm>

#include "kernels/emulation/shadow.h"

namespace adatape::kernels::emulation {
namespace {

template <class T>
T read_as(const unsigned char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <class T>
void write_as(unsigned char* bytes, const T& value) {
  std::memcpy(bytes, &value, sizeof value);
}

struct Shuffle {
  uint64_t value;
  int source;
};

void complete_shuffle(Block& block, Warp& warp, uint32_t present) {
  for (uint32_t left = present; left; left &= left - 1) {
    Thread& t = *warp.lanes[std::countr_zero(left)];
    const int source = read_as<Shuffle>(t.collective.in).source;
    if (source < 0 || source > 31 || !(present >> source & 1)) {
      block.shadow().report_sentence(Kind::kDivergence,
                                     std::string(t.collective.operation) + ": thread " +
                                         std::to_string(t.number) + " takes the value of lane " +
                                         std::to_string(source) + ", which does not take part",
                                     block, t);
      continue;
    }
    write_as(t.collective.out, read_as<Shuffle>(warp.lanes[source]->collective.in).value);
  }
}

void complete_ballot(Block&, Warp& warp, uint32_t present) {
  uint32_t votes = 0;
  for (uint32_t left = present; left; left &= left - 1) {
    const int lane = std::countr_zero(left);
    if (read_as<bool>(warp.lanes[lane]->collective.in)) votes |= 1u << lane;
  }
  for (uint32_t left = present; left; left &= left - 1) {
    write_as(warp.lanes[std::countr_zero(left)]->collective.out, votes);
  }
}

struct Reduce {
  uint32_t value;
  Reduction kind;
  bool is_signed;
};

uint32_t combine(uint32_t a, uint32_t b, const Reduce& how) {
  const bool less = how.is_signed ? int32_t(a) < int32_t(b) : a < b;
  switch (how.kind) {
    case Reduction::kAdd:
      return a + b;
    case Reduction::kMin:
      return less ? a : b;
    case Reduction::kMax:
      return less ? b : a;
    case Reduction::kAnd:
      return a & b;
    case Reduction::kOr:
      return a | b;
    case Reduction::kXor:
      return a ^ b;
  }
  return 0;
}

void complete_reduce(Block&, Warp& warp, uint32_t present) {
  const auto published = [&](uint32_t lanes) {
    return read_as<Reduce>(warp.lanes[std::countr_zero(lanes)]->collective.in);
  };
  const Reduce first = published(present);
  uint32_t total = first.value;
  for (uint32_t left = present & (present - 1); left; left &= left - 1) {
    total = combine(total, published(left).value, first);
  }
  for (uint32_t left = present; left; left &= left - 1) {
    write_as(warp.lanes[std::countr_zero(left)]->collective.out, total);
  }
}

/// Everyone learns what anyone knew, and that all have come this far.
void complete_syncwarp(Block&, Warp& warp, uint32_t present) {
  ++warp.serial;
  uint32_t seen[32] = {};
  for (uint32_t left = present; left; left &= left - 1) {
    const int lane = std::countr_zero(left);
    for (int i = 0; i < 32; ++i) seen[i] = std::max(seen[i], warp.lanes[lane]->seen[i]);
    seen[lane] = warp.serial;
  }
  for (uint32_t left = present; left; left &= left - 1) {
    std::copy(seen, seen + 32, warp.lanes[std::countr_zero(left)]->seen);
  }
}

template <class In, class Out>
Out collective(uint32_t mask, const char* operation, const In& in, const Site& site,
               const void* code, Complete complete) {
  const OutOfKernel out_of_kernel;
  Block& block = *running_block;
  Thread& t = block.current();
  static_assert(sizeof(In) <= sizeof t.collective.in && sizeof(Out) <= sizeof t.collective.out);
  write_as(t.collective.in, in);
  block.join(mask, operation, site, code, complete);
  return read_as<Out>(t.collective.out);
}

}  // namespace

void shuffle(uint32_t mask, void* value, size_t bytes, int source, const Site& site) {
  Shuffle in{0, source};
  std::memcpy(&in.value, value, bytes);
  const uint64_t out = collective<Shuffle, uint64_t>(mask, "__shfl_sync", in, site,
                                                     __builtin_return_address(0), complete_shuffle);
  std::memcpy(value, &out, bytes);
}

uint32_t ballot(uint32_t mask, bool predicate, const Site& site) {
  return collective<bool, uint32_t>(mask, "a vote", predicate, site, __builtin_return_address(0),
                                    complete_ballot);
}

uint32_t reduce(uint32_t mask, uint32_t value, Reduction kind, bool is_signed, const Site& site) {
  return collective<Reduce, uint32_t>(mask, "__reduce_sync", {value, kind, is_signed}, site,
                                      __builtin_return_address(0), complete_reduce);
}

int lane() { return running_block->current().lane; }
dim3 thread_index() { return running_block->current().index; }
dim3 block_index() { return running_block->index(); }
dim3 block_size() { return running_block->launch().block; }
dim3 grid_size() { return running_block->launch().grid; }
void* dynamic_shared() { return running_block->dynamic_shared(); }

namespace {

void note(const void* address, size_t bytes, Access access, const void* site) {
  Block& block = *running_block;
  block.shadow().access(block, block.current(), address, bytes, access, true, site);
}

uint4 load_16(const void* source, const void* site) {
  const OutOfKernel out;
  note(source, 16, Access::kRead, site);
  return read_as<uint4>(static_cast<const unsigned char*>(source));
}

void store_16(void* destination, uint4 value, const void* site) {
  const OutOfKernel out;
  note(destination, 16, Access::kWrite, site);
  std::memcpy(destination, &value, 16);
}

}  // namespace

template <class T>
T atomic_add(T* address, T value) {
  const OutOfKernel out;
  note(address, sizeof(T), Access::kAtomic, __builtin_return_address(0));
  const T old = *address;
  *address = T(old + value);
  return old;
}
template int32_t atomic_add(int32_t*, int32_t);
template uint32_t atomic_add(uint32_t*, uint32_t);
template unsigned long long atomic_add(unsigned long long*, unsigned long long);

template <class T>
T atomic_max(T* address, T value) {
  const OutOfKernel out;
  note(address, sizeof(T), Access::kAtomic, __builtin_return_address(0));
  const T old = *address;
  *address = std::max(old, value);
  return old;
}
template int32_t atomic_max(int32_t*, int32_t);
template uint32_t atomic_max(uint32_t*, uint32_t);
template unsigned long long atomic_max(unsigned long long*, unsigned long long);

void wait_for_copies(int newest) {
  const OutOfKernel out;
  Block& block = *running_block;
  Thread& t = block.current();
  auto copy = t.copies.begin();
  for (; copy != t.copies.end() && copy->group + uint64_t(newest) < t.groups; ++copy) {
    block.shadow().finish_copy(block, t, copy->destination, copy->code);
    if (copy->source) {
      std::memcpy(copy->destination, copy->source, 16);
    } else {
      std::memset(copy->destination, 0, 16);
    }
  }
  t.copies.erase(t.copies.begin(), copy);
}

}  // namespace adatape::kernels::emulation

namespace adatape::kernels {

using namespace emulation;

void __syncthreads(const Site& site) {
  const OutOfKernel out;
  running_block->barrier(site);
}

void __syncwarp(uint32_t mask, const Site& site) {
  collective<char, char>(mask, "__syncwarp", 0, site, __builtin_return_address(0),
                         complete_syncwarp);
}

uint4 load_128(const void* source) { return load_16(source, __builtin_return_address(0)); }
void store_128(void* destination, uint4 value) {
  store_16(destination, value, __builtin_return_address(0));
}
uint4 load_global_128(const void* source, bool valid) {
  return valid ? load_16(source, __builtin_return_address(0)) : uint4{};
}
void store_global_128(void* destination, uint4 value) {
  store_16(destination, value, __builtin_return_address(0));
}

void cp_async_16(void* destination, const void* source, bool valid) {
  const OutOfKernel out;
  const void* code = __builtin_return_address(0);
  if (valid) note(source, 16, Access::kRead, code);
  note(destination, 16, Access::kCopy, code);
  std::memset(destination, 0xa5, 16);
  Thread& t = running_block->current();
  t.copies.push_back({static_cast<unsigned char*>(destination),
                      valid ? static_cast<const unsigned char*>(source) : nullptr, t.groups, code});
}

void cp_async_commit() { ++running_block->current().groups; }

}  // namespace adatape::kernels
