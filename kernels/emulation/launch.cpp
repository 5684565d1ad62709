// A launch: its shape is checked as CUDA would, then the blocks run one after another.
#include <link.h>

#include <stdexcept>

#include "kernels/emulation/block.h"
#include "kernels/emulation/state.h"

namespace adatape::kernels::emulation {
namespace {

std::string text(dim3 d) {
  return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
}

void check_shape(const Launch& launch, const Settings& settings) {
  const dim3 grid = launch.grid, block = launch.block;
  const auto refuse = [](const std::string& why) { throw std::runtime_error("[launch] " + why); };
  if (uint64_t(grid.x) * grid.y * grid.z == 0) refuse("the grid " + text(grid) + " is empty");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    refuse("the grid " + text(grid) + " exceeds 2147483647x65535x65535");
  }
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) {
    refuse("a block of " + text(block) + " threads; need 1 to 1024");
  }
  if (launch.shared_bytes > settings.shared_bytes) {
    refuse(std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory exceed " +
           std::to_string(settings.shared_bytes));
  }
  if (launch.argument_bytes > 4096) refuse("more than 4096 bytes of arguments");
}

struct ThreadLocals {
  uintptr_t code;
  uintptr_t begin = 0;
  size_t bytes = 0;
};

/// If this part of the program holds the code: where its thread-local variables are.
int find_thread_locals(dl_phdr_info* info, size_t, void* out) {
  ThreadLocals& found = *static_cast<ThreadLocals*>(out);
  bool holds_code = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type == PT_LOAD && found.code - (info->dlpi_addr + part.p_vaddr) < part.p_memsz) {
      holds_code = true;
    }
  }
  if (!holds_code) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data) {
      found.begin = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
      found.bytes = info->dlpi_phdr[i].p_memsz;
    }
  }
  return 1;
}

}  // namespace

void run(const Launch& launch) {
  if (!current_state) throw std::runtime_error("[launch] there is no emulation::Machine");
  if (running_block) throw std::runtime_error("[launch] a kernel is running already");
  State& state = *current_state;
  check_shape(launch, state.settings);
  ThreadLocals statics{reinterpret_cast<uintptr_t>(launch.kernel)};
  dl_iterate_phdr(find_thread_locals, &statics);
  Block block(launch, state.settings, state.shadow);
  state.shadow.begin_launch(block, statics.begin, statics.bytes);
  for (int64_t number : block.order_of_blocks()) {
    const int64_t x = launch.grid.x, y = launch.grid.y;
    const dim3 index(unsigned(number % x), unsigned(number / x % y), unsigned(number / x / y));
    if (!block.run(index, number)) break;
  }
  state.shadow.end_launch();
}

}  // namespace adatape::kernels::emulation
