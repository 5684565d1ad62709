#include "kernels/emulation/block.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/emulation/shadow.h"

namespace adatape::kernels::emulation {

Block* running_block = nullptr;
bool in_kernel = false;

namespace {

constexpr size_t kSharedAlignment = 128;

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() &&
         (a.file_name() == b.file_name() || !std::strcmp(a.file_name(), b.file_name()));
}

std::string text(const Site& site) {
  const std::string path = site.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(site.line());
}

}  // namespace

Block::Block(const Launch& launch, const Settings& settings, Shadow& shadow)
    : launch_(launch), settings_(settings), shadow_(shadow), random_(settings.seed) {
  const dim3 size = launch.block;
  const uint32_t count = size.x * size.y * size.z;
  warps_.resize((count + 31) / 32);
  threads_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    Thread& t = threads_[i];
    t.number = i;
    t.index = dim3(i % size.x, i / size.x % size.y, i / size.x / size.y);
    t.fiber = &fiber_of_thread(i);
    t.lane = int(i % 32);
    t.warp = &warps_[i / 32];
    t.warp->lanes[t.lane] = &t;
  }
  shared_memory_.resize(launch.shared_bytes + kSharedAlignment);
  const uintptr_t start = reinterpret_cast<uintptr_t>(shared_memory_.data());
  dynamic_shared_ = shared_memory_.data() + (-start) % kSharedAlignment;
}

std::vector<int64_t> Block::order_of_blocks() {
  const dim3 grid = launch_.grid;
  std::vector<int64_t> order(size_t(grid.x) * grid.y * grid.z);
  std::iota(order.begin(), order.end(), int64_t(0));
  if (settings_.order == Order::kReversed) std::reverse(order.begin(), order.end());
  if (settings_.order == Order::kPermuted) std::shuffle(order.begin(), order.end(), random_);
  return order;
}

void Block::prepare(dim3 index, int64_t number) {
  index_ = index;
  number_ = number;
  at_barrier_ = done_ = 0;
  abandoned_ = false;
  for (Warp& warp : warps_) {
    warp.serial = warp.waiting = warp.gone = 0;
    for (int i = 0; i < 32; ++i) warp.gone |= uint32_t(!warp.lanes[i]) << i;
  }
  ready_.clear();
  for (Thread& t : threads_) {
    wake(t);
    std::fill(std::begin(t.seen), std::end(t.seen), 0u);
    t.copies.clear();
    t.groups = 0;
  }
  std::memset(dynamic_shared_, 0xa5, launch_.shared_bytes);
  shadow_.begin_block(*this);
}

bool Block::run(dim3 index, int64_t number) {
  prepare(index, number);
  running_block = this;
  while (done_ < threads_.size() && !abandoned_) {
    ready_.empty() ? explain_standstill() : step();
  }
  running_block = nullptr;
  if (abandoned_) {
    for (Thread& t : threads_) t.fiber->abandon();
  }
  return !abandoned_;
}

void Block::wake(Thread& thread) {
  thread.state = Thread::State::kReady;
  if (&thread != current_) ready_.push_back(thread.number);
}

/// Every thread that can run now does so up to its next wait.
void Block::step() {
  std::vector<uint32_t> round;
  round.swap(ready_);
  std::sort(round.begin(), round.end());
  if (settings_.order == Order::kReversed) std::reverse(round.begin(), round.end());
  if (settings_.order == Order::kPermuted) std::shuffle(round.begin(), round.end(), random_);
  for (uint32_t i : round) {
    current_ = &threads_[i];
    in_kernel = true;
    current_->fiber->resume(&Block::body, this);
    in_kernel = false;
    if (abandoned_) break;
  }
  current_ = nullptr;
}

void Block::body(void* self) {
  Block& block = *static_cast<Block*>(self);
  // On the fiber's own stack: parameters are memory that only this thread may touch.
  alignas(16) unsigned char arguments[4096];
  in_kernel = false;
  std::memcpy(arguments, block.launch_.arguments, block.launch_.argument_bytes);
  in_kernel = true;
  block.launch_.call(block.launch_.kernel, arguments);
  in_kernel = false;
  Thread& t = block.current();
  t.state = Thread::State::kDone;
  ++block.done_;
  t.warp->gone |= 1u << t.lane;
  // Those that wait for a lane that has left need not wait any longer.
  for (Thread* other : t.warp->lanes) {
    if (other && other->state == Thread::State::kAtCollective) {
      block.try_complete(*t.warp, other->collective.mask, other->collective.complete);
    }
  }
}

void Block::barrier(const Site& site) {
  Thread& t = current();
  t.site = site;
  t.state = Thread::State::kAtBarrier;
  if (++at_barrier_ < threads_.size()) return t.fiber->yield();
  for (const Thread& other : threads_) {
    if (!same_place(other.site, site)) {
      diverge("thread " + std::to_string(t.number) + " waits in " + where(t) + " but thread " +
                  std::to_string(other.number) + " in " + where(other),
              t);
    }
  }
  for (Thread& other : threads_) wake(other);
  at_barrier_ = 0;
  shadow_.next_epoch();
}

bool Block::all_arrived(const Warp& warp, uint32_t mask) const {
  if (mask & ~(warp.waiting | warp.gone)) return false;
  const Collective* first = nullptr;
  for (uint32_t left = mask & warp.waiting; left; left &= left - 1) {
    const Collective& c = warp.lanes[std::countr_zero(left)]->collective;
    if (!first) first = &c;
    if (c.mask != mask || c.operation != first->operation || !same_place(c.site, first->site)) {
      return false;
    }
  }
  return true;
}

void Block::try_complete(Warp& warp, uint32_t mask, Complete complete) {
  if (!all_arrived(warp, mask)) return;
  const uint32_t present = mask & warp.waiting;
  for (uint32_t left = present; left; left &= left - 1) wake(*warp.lanes[std::countr_zero(left)]);
  warp.waiting &= ~present;
  if (present) complete(*this, warp, present);
}

void Block::join(uint32_t mask, const char* operation, const Site& site, const void* code,
                 Complete complete) {
  Thread& t = current();
  Collective& c = t.collective;
  c.mask = mask;
  c.operation = operation;
  c.site = site;
  c.code = code;
  c.complete = complete;
  t.state = Thread::State::kAtCollective;
  t.warp->waiting |= 1u << t.lane;
  if (!(mask >> t.lane & 1)) {
    diverge("thread " + std::to_string(t.number) + " is not in the mask of its own " + where(t), t);
  }
  try_complete(*t.warp, mask, complete);
  if (t.state != Thread::State::kReady) t.fiber->yield();
}

std::string Block::where(const Thread& t) const {
  switch (t.state) {
    case Thread::State::kAtBarrier:
      return "__syncthreads at " + text(t.site);
    case Thread::State::kAtCollective:
      return std::string(t.collective.operation) + " at " + text(t.collective.site);
    default:
      return "no wait";
  }
}

/// No thread can run: names one that waits, and one that keeps it waiting.
void Block::explain_standstill() {
  const auto waits = std::find_if(threads_.begin(), threads_.end(),
                                  [](const Thread& t) { return t.state != Thread::State::kDone; });
  const bool for_warp = waits->state == Thread::State::kAtCollective;
  for (const Thread& t : threads_) {
    const bool needed =
        !for_warp || (t.warp == waits->warp && waits->collective.mask >> t.lane & 1);
    const bool joins = t.state == waits->state &&
                       (for_warp ? t.collective.mask == waits->collective.mask &&
                                       t.collective.operation == waits->collective.operation &&
                                       same_place(t.collective.site, waits->collective.site)
                                 : true);
    if (!needed || joins || (for_warp && t.state == Thread::State::kDone)) continue;
    const std::string does =
        t.state == Thread::State::kDone ? " has left the kernel" : " waits in " + where(t);
    shadow_.report_sentence(Kind::kDivergence,
                            "thread " + std::to_string(waits->number) + " waits in " +
                                where(*waits) + " but thread " + std::to_string(t.number) + does,
                            *this, *waits);
    break;
  }
  abandoned_ = true;
}

void Block::abandon() {
  abandoned_ = true;
  current().fiber->yield();
  __builtin_unreachable();
}

void Block::diverge(const std::string& sentence, const Thread& thread) {
  shadow_.report_sentence(Kind::kDivergence, sentence, *this, thread);
  abandon();
}

void Block::leave_array(const std::string& sentence) {
  shadow_.report_sentence(Kind::kOutOfRange, sentence, *this, current());
  abandon();
}

}  // namespace adatape::kernels::emulation
