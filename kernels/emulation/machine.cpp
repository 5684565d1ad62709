#include "kernels/emulation/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <stdexcept>

#include "kernels/emulation/state.h"

namespace adatape::kernels::emulation {

State* current_state = nullptr;

namespace {

// An index that is wrong by less than this much ends up in nobody's memory, not in a neighbour's.
constexpr size_t kPart = size_t(1) << 32;
constexpr size_t kParts = 256;
constexpr unsigned char kPoison = 0xa5;

}  // namespace

Machine::Machine(Settings settings) : state_(std::make_unique<State>()) {
  if (current_state) throw std::logic_error("there is an emulation::Machine already");
  void* arena =
      mmap(nullptr, kPart * kParts, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw std::bad_alloc();
  state_->settings = settings;
  state_->arena = static_cast<unsigned char*>(arena);
  current_state = state_.get();
}

Machine::~Machine() {
  current_state = nullptr;
  munmap(state_->arena, kPart * kParts);
}

void* Machine::allocate(const std::string& name, size_t bytes, Contents contents) {
  if (state_->parts == kParts || bytes > kPart / 2) throw std::bad_alloc();
  unsigned char* memory = state_->arena + kPart * state_->parts++ + kPart / 4;
  if (bytes == 0) return memory;
  if (mprotect(memory, bytes, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
  if (contents != Contents::kInput) std::memset(memory, kPoison, bytes);
  state_->shadow.track(name, memory, bytes, contents);
  return memory;
}

void Machine::track(const std::string& name, const void* memory, size_t bytes, Contents contents) {
  state_->shadow.track(name, memory, bytes, contents);
}

const std::vector<Report>& Machine::reports() const { return state_->shadow.reports(); }

int Machine::count(Kind kind) const {
  return int(std::count_if(reports().begin(), reports().end(),
                           [&](const Report& r) { return r.kind == kind; }));
}

std::string Machine::text() const { return text_of(reports()); }
void Machine::clear_reports() { state_->shadow.reports().clear(); }

}  // namespace adatape::kernels::emulation

namespace adatape::kernels {

DeviceLimits device_limits() {
  using emulation::current_state;
  if (!current_state) throw std::runtime_error("[device] there is no emulation::Machine");
  return {current_state->settings.shared_bytes, current_state->settings.multiprocessors};
}

}  // namespace adatape::kernels
