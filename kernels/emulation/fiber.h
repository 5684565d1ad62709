// A stack of its own for each emulated thread. Switching is _setjmp and _longjmp (swapcontext would
// make a system call each time); only the first entry goes through setcontext.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace adatape::kernels::emulation {

class Fiber {
 public:
  Fiber();  // throws std::bad_alloc
  ~Fiber();
  Fiber(const Fiber&) = delete;

  /// Continues where yield() left off; a new or finished fiber calls body(argument) instead.
  /// Returns when the body yields, or has come to its end.
  void resume(void (*body)(void*), void* argument);
  /// Inside the body: back to whoever resumed it.
  void yield();
  /// The body will not be continued; the next resume() starts anew.
  void abandon() { started_ = false; }
  /// Whether the address lies on this fiber's stack.
  bool owns(uintptr_t address) const { return address - uintptr_t(stack_) < kBytes; }

 private:
  static constexpr size_t kBytes = 256 * 1024;
  static void trampoline(unsigned low, unsigned high);

  unsigned char* stack_;
  bool started_ = false;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  jmp_buf inside_, outside_;
  ucontext_t context_;
};

/// The fiber of an emulated thread: made once, used by all blocks of all launches.
Fiber& fiber_of_thread(size_t number);

}  // namespace adatape::kernels::emulation
