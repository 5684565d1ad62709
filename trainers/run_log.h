// A run's numbers: metrics.jsonl, one object a line, and the same as TensorBoard events.
#pragma once

#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "csrc/formats/tensorboard.h"
#include "trainers/run_config.h"

namespace adatape {

class RunLog {
 public:
  /// Goes on in `folder` from `step`: lines of later steps, and lines that are no records (a crash
  /// cut one), are removed, so that no step stands twice and none is missing; TensorBoard hides
  /// later steps likewise. Throws formats::FormatError.
  RunLog(const LogConfig& config, const std::string& folder, int64_t step);

  /// Appends a record; its numbers become TensorBoard scalars "<split>/<key>". It needs step and
  /// split. A disk that refuses is warned about, once.
  void add(const nlohmann::json& record);

  /// The records of split "evaluation", by step: those that an earlier process wrote too.
  const std::map<int64_t, nlohmann::json>& evaluations() const { return evaluations_; }

  /// Returns once all records are on the disk.
  void sync();

 private:
  void keep_records_up_to(int64_t step);
  void remember(const nlohmann::json& record);
  void add_events(const nlohmann::json& record);

  std::string path_;
  std::ofstream metrics_;
  std::unique_ptr<formats::EventWriter> events_;
  std::map<int64_t, nlohmann::json> evaluations_;
  bool warned_ = false;
};

}  // namespace adatape
