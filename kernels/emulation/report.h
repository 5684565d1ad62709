// What the emulation finds, as values that a test can look at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace adatape::kernels::emulation {

enum class Kind {
  kOutOfRange,      // an address in no memory that this thread may touch; ends the launch
  kReadOnly,        // a write to an input
  kMisaligned,      // an address that is no multiple of the access's size
  kUninitialised,   // a read of memory that nothing has written
  kRace,            // two threads, one memory cell, at least one write, and no barrier between
  kUnfinishedCopy,  // a cp.async destination touched before the copy was waited for
  kDivergence,  // threads wait for each other in ways that a device does not allow; ends the launch
};
enum class Access { kRead, kWrite, kAtomic, kCopy };

const char* name(Kind kind);
const char* name(Access access);

/// A thread by its linear numbers; -1: none.
struct ThreadName {
  int64_t block = -1, thread = -1;
};

/// One finding. Equal ones (same kind, places and range) are counted, the first is kept.
struct Report {
  Kind kind;
  std::string range{};  // "shared memory", or the name that the test gave
  int64_t offset = 0;   // of the access, in bytes from the range's start
  Access access{}, other_access{};
  ThreadName thread{}, other{};  // who was caught; the other side of a race
  const void* site = nullptr;    // code addresses of the two accesses
  const void* other_site = nullptr;
  std::string detail{};  // instead of range and sites: a sentence (kDivergence, an array's end)
  int64_t count = 1;

  /// One line: kind, range, threads, source lines (through addr2line, when the program has them).
  std::string text() const;
};

/// The lines of the first few reports; empty for none.
std::string text_of(const std::vector<Report>& reports);

}  // namespace adatape::kernels::emulation
