// The shadow memory: for each cell of shared and tracked global memory, who wrote and read it last,
// and how long ago in terms of barriers. It knows a race when both accesses have happened, however
// harmless the order was this time (the hazards of compute-sanitizer's racecheck and initcheck).
//
// Time is counted in epochs, which begin with each block and end with each __syncthreads, and
// within a warp in serials of its __syncwarps: an access at serial s by lane a comes before one by
// lane b if b has since joined, directly or through others, a __syncwarp of a later serial that a
// joined (Thread::seen). Blocks are never ordered within a launch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/emulation/block.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels::emulation {

/// The state of a few bytes of memory. Epoch 0: never.
struct Cell {
  uint32_t write_epoch, write_serial;
  uint32_t read_epoch, read_serial;
  uint32_t other_block_read;  // epoch of the last read by a block other than the last to read
  uint32_t read_lanes;        // of read_warp, in read_epoch; 0: several warps
  uint16_t writer, read_warp;
  bool atomic, unfinished;
  const void* write_site;
  const void* read_site;
};

struct Range {
  std::string name;
  uintptr_t begin, end;
  Contents contents;
  bool shared;
  int shift = 2;  // log2 of the bytes of a cell; lowered by the first access that needs it
  std::unique_ptr<Cell, decltype(&std::free)> cells{nullptr, &std::free};
};

class Shadow {
 public:
  void track(const std::string& name, const void* memory, size_t bytes, Contents contents);
  /// Takes shared memory into account: the block's dynamic one, and the thread-local variables of
  /// the program part that holds the kernel.
  void begin_launch(const Block& block, uintptr_t statics, size_t static_bytes);
  void end_launch();
  void begin_block(const Block& block);
  void next_epoch() { ++epoch_; }

  /// Checks and notes an access by the thread. `aligned`: the device would demand it of this one.
  void access(Block& block, Thread& thread, const void* address, size_t bytes, Access access,
              bool aligned, const void* site);
  /// The copy's destination holds its data from now on.
  void finish_copy(Block& block, Thread& thread, const void* destination, const void* site);
  bool is_shared(const void* address);

  void report_sentence(Kind kind, const std::string& sentence, const Block& block,
                       const Thread& thread);
  std::vector<Report>& reports() { return reports_; }

 private:
  struct Touch;
  Range* find(uintptr_t address);
  Range& add(const std::string& name, uintptr_t begin, size_t bytes, Contents contents,
             bool shared);
  void refine(Range& range, int shift);
  bool read(const Touch& touch, Cell& cell);
  bool write(const Touch& touch, Cell& cell);
  bool ordered(const Touch& touch, uint32_t thread, uint32_t epoch, uint32_t serial) const;
  bool readers_ordered(const Touch& touch, const Cell& cell) const;
  void note_read(const Touch& touch, Cell& cell) const;
  void note_write(const Touch& touch, Cell& cell) const;
  bool initialised(const Range& range, const Cell& cell) const;
  bool conflict(const Touch& touch, Access other, uint32_t thread, uint32_t epoch,
                const void* site);
  void report(const Touch& touch, Kind kind, Access other = {}, ThreadName name = {},
              const void* site = nullptr);
  void out_of_range(Block& block, Thread& thread, uintptr_t address, Access access,
                    const void* site);
  void add_report(Report report);
  int64_t block_of(uint32_t epoch) const;

  std::vector<Range> ranges_;  // by address
  std::vector<Report> reports_;
  struct BlockStart {
    uint32_t epoch;
    int64_t block;
  };
  std::vector<BlockStart> starts_;  // of this launch's blocks
  uint32_t epoch_ = 1, launch_start_ = 1, block_start_ = 1;
};

}  // namespace adatape::kernels::emulation
