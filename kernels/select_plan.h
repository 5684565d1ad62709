// How a tape_select launch uses a block's shared memory.
#pragma once

#include "kernels/device.h"
#include "kernels/tape_select.h"

namespace adatape::kernels {

constexpr int kSelectThreads = 256;
constexpr int kSelectWarps = kSelectThreads / 32;  // and the most examples of a block: a warp each
constexpr size_t kSlotBytes = 48;                  // of static shared memory, for each example

/// Rows that a thread scores at once, so that they share the loads of queries.
template <int kExamples>
constexpr int kRowsAtOnce = kExamples == 1 ? 4 : 2;

/// Where the rows of a bank lie in shared memory, in units of 16 bytes.
struct BankTiles {
  int chunks;  // units of a row; its end is filled with zeros
  int rows;    // of a tile
  int stages;  // 1: one tile is the whole bank and stays; 2: one is used while the next arrives
  bool wide;   // rows can be copied in whole units
};

struct SelectPlan {
  BankTiles tiles;
  int examples;      // that a block reads for at a time
  int padded_width;  // floats of a query
  int list;          // entries of each warp's list of best rows, min(merge, 32)
  int words;         // of 32 bits: which rows an example has read or must not read
  int64_t blocks;
  size_t bytes;  // of dynamic shared memory
};

/// The plan for p on a device with these limits. Throws std::runtime_error if the bank has so many
/// rows that not even a bit for each fits.
SelectPlan plan_select(const TapeSelect& p, const DeviceLimits& limits);

}  // namespace adatape::kernels
