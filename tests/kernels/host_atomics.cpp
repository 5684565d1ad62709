// Under -fsanitize=thread the compiler turns atomic operations, too, into calls. The test programs'
// host code has some (reference counts); kernels have none of this kind.
#include <cstdint>

#define PLAIN __attribute__((no_sanitize("thread")))
#define ATOMICS(bits, T)                                                                           \
  PLAIN T __tsan_atomic##bits##_load(const volatile T* p, int) {                                   \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  PLAIN void __tsan_atomic##bits##_store(volatile T* p, T x, int) {                                \
    __atomic_store_n(p, x, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                \
  PLAIN T __tsan_atomic##bits##_exchange(volatile T* p, T x, int) {                                \
    return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);                                            \
  }                                                                                                \
  PLAIN T __tsan_atomic##bits##_fetch_add(volatile T* p, T x, int) {                               \
    return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  PLAIN T __tsan_atomic##bits##_fetch_sub(volatile T* p, T x, int) {                               \
    return __atomic_fetch_sub(p, x, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  PLAIN bool __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* old, T x, int, int) { \
    return __atomic_compare_exchange_n(p, old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
  }

extern "C" {
ATOMICS(8, uint8_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)
}
