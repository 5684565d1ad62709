// Means over the examples of several batches.
#pragma once

#include <string>
#include <vector>

#include "csrc/models/model.h"

namespace adatape {

/// A model's meters, added up batch by batch, in the model's order.
class Means {
 public:
  struct Entry {
    std::string name;
    double sum = 0, count = 0;
    double mean() const { return sum / count; }
  };

  void add(const std::vector<Meter>& meters) {
    for (const Meter& meter : meters) {
      Entry& entry = named(meter.name);
      entry.sum += meter.sum.item<double>();
      entry.count += meter.count;
    }
  }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  Entry& named(const std::string& name) {
    for (Entry& entry : entries_) {
      if (entry.name == name) return entry;
    }
    return entries_.emplace_back(Entry{name});
  }

  std::vector<Entry> entries_;
};

}  // namespace adatape
