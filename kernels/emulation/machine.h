// An emulated GPU, as tests see it: memory with names, an order in which threads run, findings.
//
//   Machine machine({.order = Order::kReversed});
//   float* x = machine.input("x", values);
//   float* y = machine.output<float>("y", n);
//   launcher({x, y, n}, nullptr);
//   EXPECT_EQ(machine.text(), "");
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulation/report.h"

namespace adatape::kernels::emulation {

/// In which order the threads of a block run between two waits. Permuted: anew each time; the order
/// of the blocks is permuted then, too.
enum class Order { kForward, kReversed, kPermuted };
enum class Contents { kInput, kOutput, kBoth };  // read only; nothing in it yet; both

struct Settings {
  Order order = Order::kForward;
  uint64_t seed = 1;             // of the permutations
  size_t shared_bytes = 232448;  // dynamic and static, that one block may have (sm_90, sm_100)
  int multiprocessors = 4;
};

struct State;

class Machine {
 public:
  /// From here to its end it is what launch() uses; there can be one at a time.
  explicit Machine(Settings settings = {});
  ~Machine();
  Machine(const Machine&) = delete;

  /// Memory of the machine that holds a copy of the data; kernels may read it only.
  template <class T>
  T* input(const std::string& name, const std::vector<T>& data) {
    T* memory = static_cast<T*>(allocate(name, data.size() * sizeof(T), Contents::kInput));
    if (!data.empty()) std::memcpy(memory, data.data(), data.size() * sizeof(T));
    return memory;
  }
  /// Memory that holds poison (0xa5); reading it before it is written is a finding.
  template <class T>
  T* output(const std::string& name, size_t count) {
    return static_cast<T*>(allocate(name, count * sizeof(T), Contents::kOutput));
  }
  /// Memory that starts as a copy of the data and may be written.
  template <class T>
  T* both(const std::string& name, const std::vector<T>& data) {
    T* memory = static_cast<T*>(allocate(name, data.size() * sizeof(T), Contents::kBoth));
    if (!data.empty()) std::memcpy(memory, data.data(), data.size() * sizeof(T));
    return memory;
  }
  /// Memory of any kind: aligned to 256 bytes, far from all other memory.
  void* allocate(const std::string& name, size_t bytes, Contents contents);
  /// Lets kernels use memory that the test owns. Starts at a multiple of 16 bytes.
  void track(const std::string& name, const void* memory, size_t bytes, Contents contents);

  const std::vector<Report>& reports() const;
  /// Findings of this kind, equal ones counted once.
  int count(Kind kind) const;
  /// All findings, a line each; empty if there are none.
  std::string text() const;
  void clear_reports();

 private:
  std::unique_ptr<State> state_;
};

}  // namespace adatape::kernels::emulation
