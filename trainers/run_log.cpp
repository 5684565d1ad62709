#include "trainers/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "csrc/formats/atomic_file.h"
#include "csrc/log/log.h"

namespace adatape {
namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The lines of `path` that are whole records of a step up to `step`.
std::string records_up_to(const std::string& path, int64_t step) {
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_object() && record.value("step", INT64_MAX) <= step) kept += line + "\n";
  }
  return kept;
}

}  // namespace

RunLog::RunLog(const LogConfig& config, const std::string& folder, int64_t step)
    : path_(folder + "/metrics.jsonl") {
  if (std::filesystem::exists(path_)) formats::write_file(path_, records_up_to(path_, step));
  metrics_.open(path_, std::ios::app);
  if (!metrics_) throw formats::IoError("open", path_, errno);
  if (config.tensorboard) {
    events_ = std::make_unique<formats::EventWriter>(
        folder, wall_time(), step > 0 ? std::optional<int64_t>(step + 1) : std::nullopt);
  }
}

void RunLog::add(const nlohmann::json& record) {
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
