#include "trainers/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <array>
#include <ctime>
#include <filesystem>

#include "csrc/config/load.h"
#include "csrc/formats/atomic_file.h"
#include "trainers/environment.h"
#include "trainers/errors.h"

namespace adatape {
namespace {

namespace fs = std::filesystem;

/// "adatape-20260131-120000", with "-2" and so on behind it where that exists.
std::string fresh_name(const std::string& folder, const std::string& config_path) {
  const std::time_t now = std::time(nullptr);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "-%Y%m%d-%H%M%S", std::localtime(&now));
  const std::string name = fs::path(config_path).stem().string() + time.data();
  std::string unique = name;
  for (int i = 2; fs::exists(fs::path(folder) / unique); ++i)
    unique = name + "-" + std::to_string(i);
  return unique;
}

bool changes_weights(const std::string& key) {
  for (const char* harmless : {"log.", "checkpoint.", "run.", "loader.workers",
                               "loop.evaluate_every", "loop.max_skipped"}) {
    if (key.rfind(harmless, 0) == 0) return false;
  }
  return true;
}

}  // namespace

RunFolder::RunFolder(RunConfig& config, const std::string& config_path) {
  if (config.run.name.empty()) config.run.name = fresh_name(config.run.folder, config_path);
  path_ = config.run.folder + "/" + config.run.name;
  const std::string stored = path_ + "/config.yaml";
  std::error_code error;
  existed_ = fs::exists(stored, error);
  if (!existed_ && fs::exists(path_, error) && !fs::is_empty(path_, error) &&
      !fs::exists(path_ + "/.lock", error)) {
    throw RunError(kUsage,
                   path_ + " exists but holds no run (no config.yaml); choose another run.name");
  }
  fs::create_directories(checkpoints(), error);
  if (error) throw RunError(kUsage, "cannot make the run folder " + path_ + ": " + error.message());
  take_lock();
  if (existed_) {
    check_same_configuration(config);
  } else {
    formats::write_file(path_ + "/environment.json", environment().dump(1) + "\n");
    formats::write_file(stored, config::to_yaml(config));
  }
  formats::remove_temporaries(checkpoints());
}

void RunFolder::take_lock() {
  lock_ = formats::Descriptor(path_ + "/.lock", O_RDWR | O_CREAT, "open");
  if (::flock(lock_.number(), LOCK_EX | LOCK_NB) != 0) {
    throw RunError(
        kUsage, path_ + " is in use by another process; wait for it, or choose another run.name");
  }
}

void RunFolder::check_same_configuration(const RunConfig& config) const {
  std::string differing;
  for (const config::Difference& d :
       config::differences(config::load<RunConfig>(path_ + "/config.yaml"), config)) {
    if (changes_weights(d.key))
      differing += "\n  " + d.key + ": " + d.a + " there, " + d.b + " here";
  }
  if (!differing.empty()) {
    throw RunError(
        kUsage,
        path_ + " holds a run of another configuration; choose another run.name, or take back:" +
            differing);
  }
}

}  // namespace adatape
