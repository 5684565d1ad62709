#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/cpu/table.h"

namespace adatape::kernels {

extern const CpuKernels table_baseline;
#if defined(__x86_64__)
extern const CpuKernels table_avx2;
extern const CpuKernels table_avx512;
#endif

namespace {

const CpuKernels* choose() {
  const char* wanted = std::getenv("ADATAPE_CPU_ISA");
  const auto fits = [&](const CpuKernels& table) {
    return !wanted || !*wanted || !std::strcmp(wanted, table.isa);
  };
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  if (avx512 && fits(table_avx512)) return &table_avx512;
  if (avx2 && fits(table_avx2)) return &table_avx2;
#endif
  return fits(table_baseline) ? &table_baseline : nullptr;
}

}  // namespace

const CpuKernels* cpu_kernels() {
  static const CpuKernels* const chosen = choose();
  return chosen;
}

void out_of_memory() { throw std::bad_alloc(); }

}  // namespace adatape::kernels
