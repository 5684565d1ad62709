#include "kernels/emulation/report.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdio>

namespace adatape::kernels::emulation {
namespace {

constexpr size_t kShown = 12;

/// "file.cuh:12 in function" of a code address; the bare address if there is no addr2line.
std::string place(const void* site) {
  if (!site) return "?";
  Dl_info info{};
  link_map* map = nullptr;
  if (!dladdr1(const_cast<void*>(site), &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP)) {
    return "?";
  }
  // The site is where the call returns to: the access itself is one byte in front.
  const uintptr_t offset = reinterpret_cast<uintptr_t>(site) - 1 - map->l_addr;
  char command[4200];
  std::snprintf(command, sizeof command, "addr2line -s -e '%.4096s' %#zx 2>/dev/null",
                info.dli_fname, size_t(offset));
  char line[256] = "";
  if (FILE* pipe = popen(command, "r")) {
    if (!std::fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
  }
  std::string text = line;
  text.erase(text.find_last_not_of("\n") + 1);
  char address[32];
  std::snprintf(address, sizeof address, "%#zx", size_t(offset));
  return text.empty() || text[0] == '?' ? address : text;
}

std::string text(ThreadName t) {
  return "thread " + std::to_string(t.thread) + " of block " + std::to_string(t.block);
}

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::kOutOfRange:
      return "out of range";
    case Kind::kReadOnly:
      return "write to an input";
    case Kind::kMisaligned:
      return "misaligned";
    case Kind::kUninitialised:
      return "uninitialised";
    case Kind::kRace:
      return "race";
    case Kind::kUnfinishedCopy:
      return "unfinished cp.async";
    case Kind::kDivergence:
      return "divergence";
  }
  return "?";
}

const char* name(Access access) {
  switch (access) {
    case Access::kRead:
      return "read";
    case Access::kWrite:
      return "write";
    case Access::kAtomic:
      return "atomic";
    case Access::kCopy:
      return "cp.async";
  }
  return "?";
}

std::string Report::text() const {
  std::string line = std::string("[") + name(kind) + "] ";
  if (!detail.empty()) return line + emulation::text(thread) + ": " + detail;
  line += std::string(name(access)) + " by " + emulation::text(thread) + " at " + place(site);
  line += (kind == Kind::kOutOfRange ? ", nearest to '" : ", '") + range + "' + " +
          std::to_string(offset) + " bytes";
  if (other.thread >= 0) {
    line += ", after a " + std::string(name(other_access)) + " by " + emulation::text(other) +
            " at " + place(other_site);
  }
  if (count > 1) line += " (" + std::to_string(count) + " times)";
  return line;
}

std::string text_of(const std::vector<Report>& reports) {
  std::string all;
  for (size_t i = 0; i < reports.size() && i < kShown; ++i) all += reports[i].text() + "\n";
  if (reports.size() > kShown) {
    all += "and " + std::to_string(reports.size() - kShown) + " more\n";
  }
  return all;
}

}  // namespace adatape::kernels::emulation
