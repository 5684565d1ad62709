// What -fsanitize=thread makes an instrumented kernel call before each load and store. The names
// are the compiler's; its own runtime is not linked.
#include "kernels/emulation/shadow.h"

namespace adatape::kernels::emulation {
namespace {

void note(void* address, size_t bytes, Access access, bool aligned, const void* site) {
  if (!in_kernel) return;
  const OutOfKernel out;
  Block& block = *running_block;
  block.shadow().access(block, block.current(), address, bytes, access, aligned, site);
}

/// What the compiler passes on, by the layout of GCC's and clang's ubsan.
struct ArrayAccess {
  const char* file;
  uint32_t line, column;
  const struct {
    uint16_t kind, info;
    char name[1];
  } * array;
};

[[noreturn]] void leave_array(const ArrayAccess& access, uint64_t index) {
  const bool by_kernel = in_kernel;
  in_kernel = false;
  const std::string path = access.file;
  const std::string sentence = "index " + std::to_string(int64_t(index)) + " of " +
                               access.array->name + " at " + path.substr(path.rfind('/') + 1) +
                               ":" + std::to_string(access.line);
  if (!by_kernel) {  // the test's own code
    std::fprintf(stderr, "%s\n", sentence.c_str());
    std::abort();
  }
  running_block->leave_array(sentence);
}

}  // namespace
}  // namespace adatape::kernels::emulation

using adatape::kernels::emulation::Access;
using adatape::kernels::emulation::note;

// Unaligned: the compiler knows that the address need not be a multiple, and nvcc would split it.
#define ADATAPE_HOOKS(bytes)                                            \
  void __tsan_read##bytes(void* p) {                                    \
    note(p, bytes, Access::kRead, true, __builtin_return_address(0));   \
  }                                                                     \
  void __tsan_write##bytes(void* p) {                                   \
    note(p, bytes, Access::kWrite, true, __builtin_return_address(0));  \
  }                                                                     \
  void __tsan_unaligned_read##bytes(void* p) {                          \
    note(p, bytes, Access::kRead, false, __builtin_return_address(0));  \
  }                                                                     \
  void __tsan_unaligned_write##bytes(void* p) {                         \
    note(p, bytes, Access::kWrite, false, __builtin_return_address(0)); \
  }                                                                     \
  void __tsan_volatile_read##bytes(void* p) { __tsan_read##bytes(p); }  \
  void __tsan_volatile_write##bytes(void* p) { __tsan_write##bytes(p); }

extern "C" {

ADATAPE_HOOKS(1)
ADATAPE_HOOKS(2)
ADATAPE_HOOKS(4)
ADATAPE_HOOKS(8)
ADATAPE_HOOKS(16)

void __tsan_read_range(void* p, size_t bytes) {
  if (bytes) note(p, bytes, Access::kRead, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  if (bytes) note(p, bytes, Access::kWrite, false, __builtin_return_address(0));
}
void __ubsan_handle_out_of_bounds(void* access, size_t index) {
  adatape::kernels::emulation::leave_array(
      *static_cast<adatape::kernels::emulation::ArrayAccess*>(access), index);
}
void __ubsan_handle_out_of_bounds_abort(void* access, size_t index) {
  __ubsan_handle_out_of_bounds(access, index);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
