// A run's folder: made, or opened again to go on, by one process at a time.
#pragma once

#include <string>

#include "csrc/formats/file.h"
#include "trainers/run_config.h"

namespace adatape {

class RunFolder {
 public:
  /// Opens run.folder/run.name for `config` (read from the file `config_path`; its stem and the
  /// time name the run if run.name is empty). A new folder gets config.yaml and environment.json.
  /// An old one must hold the same configuration, but for keys that change nothing in the weights
  /// (log.*, checkpoint.*, run.*, loader.workers, ...). Fills in config.run.name. Throws
  /// RunError(kUsage) with the differing keys, or if another process has it.
  RunFolder(RunConfig& config, const std::string& config_path);

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  /// Whether the folder held this run before.
  bool existed() const { return existed_; }

 private:
  void take_lock();
  void check_same_configuration(const RunConfig& config) const;

  std::string path_;
  bool existed_ = false;
  formats::Descriptor lock_;
};

}  // namespace adatape
