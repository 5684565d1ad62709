// The checked longjmp takes a switch of stacks for an attack.
#undef _FORTIFY_SOURCE
#include "kernels/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <new>

namespace adatape::kernels::emulation {

Fiber::Fiber() {
  const size_t guard = size_t(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, kBytes + guard, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, guard, PROT_NONE);
  stack_ = static_cast<unsigned char*>(memory) + guard;
}

Fiber::~Fiber() {
  const size_t guard = size_t(sysconf(_SC_PAGESIZE));
  munmap(stack_ - guard, kBytes + guard);
}

// makecontext passes integers only: the pointer comes in two halves.
void Fiber::trampoline(unsigned low, unsigned high) {
  Fiber* self = reinterpret_cast<Fiber*>(uintptr_t(low) | uintptr_t(high) << 32);
  for (;;) {
    self->body_(self->argument_);
    self->yield();
  }
}

void Fiber::resume(void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  if (_setjmp(outside_)) return;
  if (started_) _longjmp(inside_, 1);
  started_ = true;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kBytes;
  context_.uc_link = nullptr;
  const uintptr_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::trampoline), 2, unsigned(self),
              unsigned(self >> 32));
  setcontext(&context_);
}

void Fiber::yield() {
  if (!_setjmp(inside_)) _longjmp(outside_, 1);
}

Fiber& fiber_of_thread(size_t number) {
  static std::deque<Fiber> fibers;
  while (fibers.size() <= number) fibers.emplace_back();
  return fibers[number];
}

}  // namespace adatape::kernels::emulation
