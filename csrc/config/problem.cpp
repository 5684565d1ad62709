#include "csrc/config/problem.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "csrc/config/text.h"

namespace adatape::config {
namespace {

constexpr std::size_t kKept = 200;

std::string lines(const std::vector<Problem>& problems) {
  std::string all;
  for (const Problem& problem : problems) {
    if (!all.empty()) all += '\n';
    all += problem.text();
  }
  return all;
}

}  // namespace

std::string Problem::text() const {
  return file + (line > 0 ? ":" + std::to_string(line) : "") + ": " + message;
}

Error::Error(std::vector<Problem> list)
    : std::runtime_error(lines(list)), problems(std::move(list)) {}

int Report::add_source(std::string_view name) {
  sources_.push_back(printable(name));
  return static_cast<int>(sources_.size()) - 1;
}

void Report::add(Location where, std::string_view message) {
  if (!full()) entries_.push_back({where, printable(message)});
  ++count_;
}

bool Report::full() const { return entries_.size() >= kKept; }

void Report::raise_if_any() const {
  if (count_ == 0) return;
  std::vector<Entry> sorted = entries_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.where.source, a.where.line) < std::tie(b.where.source, b.where.line);
  });
  std::vector<Problem> problems;
  for (Entry& entry : sorted) {
    problems.push_back({sources_[entry.where.source], entry.where.line, std::move(entry.message)});
  }
  if (const int left = count_ - static_cast<int>(problems.size()); left > 0) {
    problems.push_back({sources_.front(), 0, "and " + std::to_string(left) + " more problems"});
  }
  throw Error(std::move(problems));
}

}  // namespace adatape::config
