#include "kernels/emulation/shadow.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace adatape::kernels::emulation {

/// One access in the middle of being checked.
struct Shadow::Touch {
  Block& block;
  Thread& thread;
  Range& range;
  uintptr_t address;
  Access access;
  const void* site;
};

Range& Shadow::add(const std::string& name, uintptr_t begin, size_t bytes, Contents contents,
                   bool shared) {
  const auto behind =
      std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.begin > begin; });
  return *ranges_.insert(behind, Range{name, begin, begin + bytes, contents, shared});
}

void Shadow::track(const std::string& name, const void* memory, size_t bytes, Contents contents) {
  add(name, reinterpret_cast<uintptr_t>(memory), bytes, contents, false);
}

void Shadow::begin_launch(const Block& block, uintptr_t statics, size_t static_bytes) {
  launch_start_ = ++epoch_;
  starts_.clear();
  if (static_bytes) add("static shared memory", statics, static_bytes, Contents::kOutput, true);
  if (block.launch().shared_bytes) {
    add("dynamic shared memory", reinterpret_cast<uintptr_t>(block.dynamic_shared()),
        block.launch().shared_bytes, Contents::kOutput, true);
  }
}

void Shadow::end_launch() {
  std::erase_if(ranges_, [](const Range& r) { return r.shared; });
}

Range* Shadow::find(uintptr_t address) {
  for (Range& r : ranges_) {
    if (address - r.begin < r.end - r.begin) return &r;
  }
  return nullptr;
}

bool Shadow::is_shared(const void* address) {
  const Range* range = find(reinterpret_cast<uintptr_t>(address));
  return range && range->shared;
}

void Shadow::begin_block(const Block& block) {
  block_start_ = ++epoch_;
  starts_.push_back({epoch_, block.number()});
}

int64_t Shadow::block_of(uint32_t epoch) const {
  int64_t block = -1;
  for (const BlockStart& s : starts_) {
    if (s.epoch <= epoch) block = s.block;
  }
  return block;
}

/// Cells become smaller: what was known of one is known of its parts.
void Shadow::refine(Range& range, int shift) {
  const size_t count = (range.end - range.begin + (size_t(1) << shift) - 1) >> shift;
  Cell* cells = static_cast<Cell*>(std::calloc(count, sizeof(Cell)));
  if (!cells) throw std::bad_alloc();
  if (range.cells) {
    for (size_t i = 0; i < count; ++i) cells[i] = range.cells.get()[i >> (range.shift - shift)];
  }
  range.cells.reset(cells);
  range.shift = shift;
}

void Shadow::access(Block& block, Thread& thread, const void* pointer, size_t bytes, Access access,
                    bool aligned, const void* site) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  if (thread.fiber->owns(address)) return;
  Range* range = find(address);
  if (!range || address + bytes > range->end) out_of_range(block, thread, address, access, site);
  const Touch touch{block, thread, *range, address, access, site};
  if (aligned && address % bytes) report(touch, Kind::kMisaligned);
  if (access != Access::kRead && range->contents == Contents::kInput) {
    report(touch, Kind::kReadOnly);
  }
  const uintptr_t offset = address - range->begin;
  const int shift = std::min(range->shift, std::countr_zero(offset | bytes));
  if (!range->cells || shift < range->shift) refine(*range, shift);
  for (uintptr_t i = offset >> range->shift; i <= (offset + bytes - 1) >> range->shift; ++i) {
    Cell& cell = range->cells.get()[i];
    if (!(access == Access::kRead ? read(touch, cell) : write(touch, cell))) {
      // One finding an access is enough; the rest is only noted.
      for (++i; i <= (offset + bytes - 1) >> range->shift; ++i) {
        Cell& rest = range->cells.get()[i];
        access == Access::kRead ? note_read(touch, rest) : note_write(touch, rest);
      }
    }
  }
}

bool Shadow::initialised(const Range& range, const Cell& cell) const {
  if (range.shared) return cell.write_epoch >= block_start_;
  return cell.write_epoch != 0 || range.contents != Contents::kOutput;
}

/// Whether an access of this block at that time comes before the touch.
bool Shadow::ordered(const Touch& touch, uint32_t thread, uint32_t epoch, uint32_t serial) const {
  const Thread& t = touch.thread;
  if (epoch < epoch_ || thread == t.number) return true;
  return thread / 32 == t.number / 32 && t.seen[thread % 32] > serial;
}

/// The finding that the cell's last write, or read, at that time races with the touch; false.
bool Shadow::conflict(const Touch& touch, Access other, uint32_t thread, uint32_t epoch,
                      const void* site) {
  report(touch, Kind::kRace, other, {block_of(epoch), int64_t(thread)}, site);
  return false;
}

bool Shadow::read(const Touch& touch, Cell& cell) {
  bool fine = true;
  if (cell.unfinished && cell.write_epoch >= block_start_) {
    report(touch, Kind::kUnfinishedCopy, Access::kCopy, {block_of(cell.write_epoch), cell.writer},
           cell.write_site);
    fine = false;
  } else if (!initialised(touch.range, cell)) {
    report(touch, Kind::kUninitialised);
    if (touch.range.shared) {  // not what an earlier block left there
      const uintptr_t first = touch.range.begin + ((touch.address - touch.range.begin) >>
                                                   touch.range.shift << touch.range.shift);
      std::memset(reinterpret_cast<void*>(first), 0xa5,
                  std::min(size_t(1) << touch.range.shift, touch.range.end - first));
    }
    fine = false;
  } else if (cell.write_epoch >= launch_start_) {
    const bool other_block = cell.write_epoch < block_start_;
    if (other_block || !ordered(touch, cell.writer, cell.write_epoch, cell.write_serial)) {
      fine = conflict(touch, cell.atomic ? Access::kAtomic : Access::kWrite, cell.writer,
                      cell.write_epoch, cell.write_site);
    }
  }
  note_read(touch, cell);
  return fine;
}

void Shadow::note_read(const Touch& touch, Cell& cell) const {
  const Thread& t = touch.thread;
  const uint16_t warp = uint16_t(t.number / 32);
  const uint32_t bit = 1u << t.lane;
  if (cell.read_epoch < block_start_ && cell.read_epoch >= launch_start_) {
    cell.other_block_read = cell.read_epoch;
  }
  if (cell.read_epoch != epoch_) {
    cell.read_lanes = bit;
    cell.read_warp = warp;
  } else if (cell.read_lanes == 0 || cell.read_warp != warp) {
    cell.read_lanes = 0;
    cell.read_warp = warp;
  } else {
    // Readers that this thread has since met need not be remembered: who comes after it comes after
    // them.
    for (uint32_t left = cell.read_lanes; left; left &= left - 1) {
      const int lane = std::countr_zero(left);
      if (t.seen[lane] > cell.read_serial) cell.read_lanes &= ~(1u << lane);
    }
    cell.read_lanes |= bit;
  }
  cell.read_epoch = epoch_;
  cell.read_serial = t.warp->serial;
  cell.read_site = touch.site;
}

bool Shadow::readers_ordered(const Touch& touch, const Cell& cell) const {
  const Thread& t = touch.thread;
  if (cell.read_epoch < epoch_) return true;
  if (cell.read_lanes == 0 || cell.read_warp != t.number / 32) return false;
  for (uint32_t left = cell.read_lanes & ~(1u << t.lane); left; left &= left - 1) {
    if (t.seen[std::countr_zero(left)] <= cell.read_serial) return false;
  }
  return true;
}

bool Shadow::write(const Touch& touch, Cell& cell) {
  bool fine = true;
  const bool atomic = touch.access == Access::kAtomic;
  if (cell.unfinished && cell.write_epoch >= block_start_) {
    report(touch, Kind::kUnfinishedCopy, Access::kCopy, {block_of(cell.write_epoch), cell.writer},
           cell.write_site);
    fine = false;
  } else if (atomic && !initialised(touch.range, cell)) {
    report(touch, Kind::kUninitialised);
    fine = false;
  } else if (cell.write_epoch >= launch_start_ && !(atomic && cell.atomic)) {
    const bool other_block = cell.write_epoch < block_start_ && !touch.range.shared;
    if (other_block || !ordered(touch, cell.writer, cell.write_epoch, cell.write_serial)) {
      fine = conflict(touch, cell.atomic ? Access::kAtomic : Access::kWrite, cell.writer,
                      cell.write_epoch, cell.write_site);
    }
  }
  const uint32_t elsewhere =
      cell.read_epoch < block_start_ ? cell.read_epoch : cell.other_block_read;
  const uint32_t reader =
      cell.read_warp * 32u + uint32_t(cell.read_lanes ? std::countr_zero(cell.read_lanes) : 0);
  if (fine && !touch.range.shared && elsewhere >= launch_start_) {
    fine = conflict(touch, Access::kRead, reader, elsewhere, cell.read_site);
  } else if (fine && cell.read_epoch >= block_start_ && !readers_ordered(touch, cell)) {
    fine = conflict(touch, Access::kRead, reader, cell.read_epoch, cell.read_site);
  }
  note_write(touch, cell);
  return fine;
}

void Shadow::note_write(const Touch& touch, Cell& cell) const {
  cell.write_epoch = epoch_;
  cell.write_serial = touch.thread.warp->serial;
  cell.writer = uint16_t(touch.thread.number);
  cell.atomic = touch.access == Access::kAtomic;
  cell.unfinished = touch.access == Access::kCopy;
  cell.write_site = touch.site;
}

void Shadow::finish_copy(Block& block, Thread& thread, const void* destination, const void* site) {
  Range& range = *find(reinterpret_cast<uintptr_t>(destination));
  const uintptr_t offset = reinterpret_cast<uintptr_t>(destination) - range.begin;
  for (uintptr_t i = offset >> range.shift; i <= (offset + 15) >> range.shift; ++i) {
    range.cells.get()[i].unfinished = false;
  }
  access(block, thread, destination, 16, Access::kWrite, false, site);
}

void Shadow::report(const Touch& touch, Kind kind, Access other, ThreadName name,
                    const void* site) {
  add_report({.kind = kind,
              .range = touch.range.name,
              .offset = int64_t(touch.address - touch.range.begin),
              .access = touch.access,
              .other_access = other,
              .thread = {touch.block.number(), int64_t(touch.thread.number)},
              .other = name,
              .site = touch.site,
              .other_site = site,
              .detail = {}});
}

void Shadow::out_of_range(Block& block, Thread& thread, uintptr_t address, Access access,
                          const void* site) {
  Report r{.kind = Kind::kOutOfRange,
           .range = {},
           .access = access,
           .thread = {block.number(), int64_t(thread.number)},
           .site = site,
           .detail = {}};
  uint64_t nearest = UINT64_MAX;
  for (const Range& range : ranges_) {
    const uint64_t distance =
        address < range.begin ? range.begin - address : address - (range.end - 1);
    if (distance >= nearest) continue;
    nearest = distance;
    r.range = range.name;
    r.offset = int64_t(address - range.begin);
  }
  add_report(std::move(r));
  block.abandon();
}

void Shadow::report_sentence(Kind kind, const std::string& sentence, const Block& block,
                             const Thread& thread) {
  add_report({.kind = kind,
              .range = {},
              .thread = {block.number(), int64_t(thread.number)},
              .detail = sentence});
}

void Shadow::add_report(Report report) {
  for (Report& known : reports_) {
    if (known.kind == report.kind && known.site == report.site &&
        known.other_site == report.other_site && known.range == report.range &&
        known.detail == report.detail) {
      ++known.count;
      return;
    }
  }
  reports_.push_back(std::move(report));
}

}  // namespace adatape::kernels::emulation
