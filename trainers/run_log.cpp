#include "trainers/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "csrc/formats/atomic_file.h"
#include "csrc/log/log.h"
#include "trainers/json_file.h"

namespace adatape {
namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool is_record(const nlohmann::json& value) {
  return value.is_object() && value.contains("step") && value["step"].is_number_integer() &&
         value.contains("split") && value["split"].is_string();
}

}  // namespace

RunLog::RunLog(const LogConfig& config, const std::string& folder, int64_t step)
    : path_(folder + "/metrics.jsonl") {
  // Not only where a checkpoint was found: a run that was killed before its first one has steps
  // too.
  const bool existed = std::filesystem::exists(path_);
  if (existed) keep_records_up_to(step);
  metrics_.open(path_, std::ios::app);
  if (!metrics_) throw formats::IoError("open", path_, errno);
  if (config.tensorboard) {
    events_ = std::make_unique<formats::EventWriter>(
        folder, wall_time(), existed || step > 0 ? std::optional<int64_t>(step + 1) : std::nullopt);
  }
}

void RunLog::keep_records_up_to(int64_t step) {
  std::ifstream file(path_);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json record = parse_json(line);
    if (!is_record(record) || record["step"] > step) continue;
    kept += line + "\n";
    remember(record);
  }
  formats::write_file(path_, kept);
}

void RunLog::remember(const nlohmann::json& record) {
  if (record.at("split") == "evaluation") evaluations_[record.at("step")] = record;
}

void RunLog::add(const nlohmann::json& record) {
  remember(record);
  metrics_ << record.dump() + "\n" << std::flush;
  try {
    if (!metrics_) throw formats::IoError("write", path_, errno);
    if (events_) add_events(record);
  } catch (const formats::FormatError& error) {
    metrics_.clear();
    if (!warned_)
      log::warn(std::string(error.what()) + "; the run goes on without complete metrics");
    warned_ = true;
  }
}

void RunLog::add_events(const nlohmann::json& record) {
  const std::string split = record.at("split");
  const int64_t step = record.at("step");
  for (const auto& [key, value] : record.items()) {
    if (!value.is_number() || key == "step") continue;
    events_->scalar(split + "/" + key, step, value.get<double>(), wall_time());
  }
  events_->flush();
}

void RunLog::sync() {
  metrics_.flush();
  const formats::Descriptor file(path_, O_WRONLY, "open");
  ::fsync(file.number());
}

}  // namespace adatape
