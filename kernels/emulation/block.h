// One thread block under emulation: its threads, who waits for whom, and the switch between them.
#pragma once

#include <random>
#include <vector>

#include "kernels/device.h"
#include "kernels/emulation/fiber.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels::emulation {

class Block;
class Shadow;
struct Thread;
struct Warp;
using Complete = void (*)(Block& block, Warp& warp, uint32_t mask);

/// What a warp's lanes have published for the collective that they wait in; `complete` of the last
/// one to arrive turns the `in` of the mask's lanes into their `out`.
struct Collective {
  uint32_t mask;
  const char* operation;
  Site site;
  const void* code;  // where in the kernel: for the reports
  Complete complete;
  alignas(16) unsigned char in[64];
  alignas(16) unsigned char out[64];
};

struct Warp {
  Thread* lanes[32] = {};  // null behind the end of the block
  uint32_t serial = 0;     // of the last __syncwarp that completed
  uint32_t waiting = 0;    // lanes in a collective
  uint32_t gone = 0;       // lanes that have left the kernel, or never were
};

/// A cp.async under way. Groups count how often the thread has committed.
struct Copy {
  unsigned char* destination;
  const unsigned char* source;  // null: zeros
  uint64_t group;
  const void* code;
};

struct Thread {
  enum class State { kReady, kAtBarrier, kAtCollective, kDone };

  uint32_t number = 0;
  dim3 index;
  int lane = 0;
  Warp* warp = nullptr;
  State state = State::kReady;
  Site site;  // of the barrier
  Collective collective;
  uint32_t seen[32];  // serial of the last __syncwarp through which it knows of a lane's doings
  std::vector<Copy> copies;  // oldest first
  uint64_t groups = 0;
  Fiber* fiber = nullptr;
};

class Block {
 public:
  Block(const Launch& launch, const Settings& settings, Shadow& shadow);

  /// Runs the block to its end; false if a finding ended the launch.
  bool run(dim3 index, int64_t number);
  /// Blocks of the grid in the order in which they run.
  std::vector<int64_t> order_of_blocks();

  void barrier(const Site& site);
  /// Waits for the lanes of the mask that have not left the kernel; then `complete` has run once.
  void join(uint32_t mask, const char* operation, const Site& site, const void* code,
            Complete complete);
  /// Ends the launch after a finding that leaves no way to go on. Does not return.
  [[noreturn]] void abandon();
  [[noreturn]] void diverge(const std::string& sentence, const Thread& thread);
  [[noreturn]] void leave_array(const std::string& sentence);

  Thread& current() { return *current_; }
  Shadow& shadow() { return shadow_; }
  const Launch& launch() const { return launch_; }
  dim3 index() const { return index_; }
  int64_t number() const { return number_; }
  unsigned char* dynamic_shared() const { return dynamic_shared_; }

 private:
  static void body(void* block);
  void prepare(dim3 index, int64_t number);
  void step();
  void wake(Thread& thread);
  void try_complete(Warp& warp, uint32_t mask, Complete complete);
  bool all_arrived(const Warp& warp, uint32_t mask) const;
  void explain_standstill();
  std::string where(const Thread& thread) const;

  const Launch launch_;
  const Settings settings_;
  Shadow& shadow_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<uint32_t> ready_;  // threads that can run
  std::mt19937_64 random_;
  std::vector<unsigned char> shared_memory_;
  unsigned char* dynamic_shared_ = nullptr;
  dim3 index_;
  int64_t number_ = 0;
  Thread* current_ = nullptr;
  size_t at_barrier_ = 0, done_ = 0;
  bool abandoned_ = false;
};

/// The block whose kernel is running, if any.
extern Block* running_block;
/// Whether loads and stores are those of the kernel: false while the emulation itself works, whose
/// inline functions may have been compiled with the instrumentation.
extern bool in_kernel;

/// In each function that a kernel calls.
class OutOfKernel {
 public:
  OutOfKernel() { in_kernel = false; }
  ~OutOfKernel() { in_kernel = true; }
  OutOfKernel(const OutOfKernel&) = delete;
};

}  // namespace adatape::kernels::emulation
