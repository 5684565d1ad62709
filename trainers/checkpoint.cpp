#include "trainers/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "csrc/formats/atomic_file.h"
#include "csrc/formats/digest.h"
#include "csrc/formats/safetensors.h"
#include "csrc/log/log.h"
#include "trainers/errors.h"
#include "trainers/json_file.h"
#include "trainers/tensor_file.h"

namespace adatape {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kManifest = "manifest.json";
constexpr int kFormat = 1;

[[noreturn]] void damaged(const std::string& what) { throw RunError(kCheckpoint, what); }

std::string manifest_text(const json& files) {
  const std::string text = files.dump();
  const json manifest = {{"digest", formats::xxh3_hex(text.data(), text.size())},
                         {"files", files},
                         {"format", kFormat}};
  return manifest.dump(1) + "\n";
}

/// The manifest's files. A changed byte anywhere is noticed: the text must be the one that its
/// content gives.
json read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifest;
  const std::string text = read_text(path);
  const json manifest = parse_json(text);
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object()) {
    damaged(path + " is damaged: it is not a checkpoint's manifest");
  }
  bool same = false;
  try {
    same = manifest_text(manifest["files"]) == text;
  } catch (const json::exception&) {  // text that is not UTF-8
  }
  if (!same) damaged(path + " is damaged: its content does not match its own digest");
  return manifest["files"];
}

/// Which tensor of a damaged file differs from what was written; empty if the damage is in the
/// header.
std::string damaged_tensor(const std::string& path, const json& digests) {
  try {
    const formats::SafetensorsFile file(path);
    std::vector<char> data;
    for (const formats::TensorInfo& tensor : file.tensors()) {
      data.resize(tensor.bytes());
      file.read(tensor, data.data());
      if (digests.value(tensor.name, "") != formats::xxh3_hex(data.data(), data.size()))
        return tensor.name;
    }
  } catch (const formats::FormatError&) {  // an unreadable header is reported by the caller as the
                                           // file's damage
  }
  return "";
}

void verify_file(const std::string& path, const json& entry) {
  const formats::InputFile file(path);
  const uint64_t bytes = entry.at("bytes");
  if (file.size() != bytes) {
    damaged(path + " is damaged: it is " + std::to_string(file.size()) + " bytes long instead of " +
            std::to_string(bytes));
  }
  if (formats::xxh3_hex_of_file(path) == entry.at("xxh3")) return;
  const std::string tensor =
      entry.contains("tensors") ? damaged_tensor(path, entry["tensors"]) : "";
  damaged(path +
          " is damaged: " + (tensor.empty() ? "its content" : "tensor " + formats::quote(tensor)) +
          " does not match the digest in " + kManifest);
}

}  // namespace

void write_checkpoint(const std::string& folder, const CheckpointContent& content) {
  formats::AtomicFolder target(folder);
  json files = json::object();
  const auto add = [&](const std::string& name) -> json& {
    const std::string path = target.temporary() + "/" + name;
    return files[name] = {{"bytes", fs::file_size(path)},
                          {"xxh3", formats::xxh3_hex_of_file(path)}};
  };
  for (const auto& [set, tensors] : content.tensors) {
    const std::string name = set + ".safetensors";
    const auto digests = write_tensors(target.temporary() + "/" + name, tensors);
    add(name)["tensors"] = digests;
  }
  formats::write_file(target.temporary() + "/state.json", content.state.dump(1) + "\n");
  add("state.json");
  formats::write_file(target.temporary() + "/config.yaml", content.config_yaml);
  add("config.yaml");
  formats::write_file(target.temporary() + "/" + kManifest, manifest_text(files));
  target.commit();
}

void verify_checkpoint(const std::string& folder) {
  try {
    const json files = read_manifest(folder);
    for (const char* needed : {"model.safetensors", "state.json", "config.yaml"}) {
      if (!files.contains(needed))
        damaged(folder + "/" + kManifest + " is damaged: it does not list " + needed);
    }
    for (const auto& [name, entry] : files.items()) verify_file(folder + "/" + name, entry);
  } catch (const formats::FormatError& error) {
    damaged(error.what());
  } catch (const json::exception&) {
    damaged(folder + "/" + kManifest + " is damaged: an entry lacks its size or digest");
  }
}

nlohmann::json read_checkpoint(const std::string& folder,
                               const std::map<std::string, NamedTensors>& into) {
  verify_checkpoint(folder);
  try {
    for (const auto& [set, tensors] : into)
      read_tensors(folder + "/" + set + ".safetensors", tensors);
    const json state = parse_json(read_text(folder + "/state.json"));
    if (!state.is_object()) damaged(folder + "/state.json is not a JSON object");
    return state;
  } catch (const formats::FormatError& error) {
    damaged(error.what());
  }
}

std::vector<StoredCheckpoint> stored_checkpoints(const std::string& folder) {
  std::vector<StoredCheckpoint> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename();
    if (name.rfind("step-", 0) != 0 || name.size() > 23 ||
        name.find_first_not_of("0123456789", 5) != std::string::npos || name.size() == 5) {
      continue;
    }
    found.push_back({std::stoll(name.substr(5)), entry.path()});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

std::optional<StoredCheckpoint> newest_intact(const std::string& folder) {
  const auto stored = stored_checkpoints(folder);
  std::string problems;
  for (const StoredCheckpoint& checkpoint : stored) {
    try {
      verify_checkpoint(checkpoint.folder);
      return checkpoint;
    } catch (const RunError& error) {
      log::warn(std::string(error.what()) + "; trying the one before");
      problems = error.what();
    }
  }
  if (!stored.empty())
    damaged("no intact checkpoint is left in " + folder + " (oldest: " + problems + ")");
  return std::nullopt;
}

void set_newer_aside(const std::string& folder, int64_t step) {
  for (const StoredCheckpoint& checkpoint : stored_checkpoints(folder)) {
    if (checkpoint.step <= step) continue;
    const std::string aside = checkpoint.folder + ".damaged";
    std::error_code error;
    fs::remove_all(aside, error);
    fs::rename(checkpoint.folder, aside, error);
    if (error) throw formats::IoError("rename", checkpoint.folder, error.value());
    log::warn("kept " + checkpoint.folder + " as " + aside + "; delete it when it is not needed");
  }
}

std::optional<StoredCheckpoint> best_checkpoint(const std::string& folder,
                                                const std::map<int64_t, double>& accuracy_of_step) {
  std::optional<StoredCheckpoint> best;
  double highest = 0;
  for (const StoredCheckpoint& checkpoint : stored_checkpoints(folder)) {
    const auto accuracy = accuracy_of_step.find(checkpoint.step);
    if (accuracy == accuracy_of_step.end() || (best && accuracy->second < highest)) continue;
    best = checkpoint;
    highest = accuracy->second;
  }
  return best;
}

void prune_checkpoints(const std::string& folder, int64_t keep,
                       const std::map<int64_t, double>& accuracy_of_step) {
  const auto stored = stored_checkpoints(folder);
  const auto best = best_checkpoint(folder, accuracy_of_step);
  for (size_t i = size_t(keep); i < stored.size(); ++i) {
    if (best && stored[i].step == best->step) continue;
    // Renamed first: a crash half-way leaves a temporary folder, never half a checkpoint.
    const std::string doomed = formats::temporary_name(stored[i].folder);
    std::error_code ignored;
    fs::rename(stored[i].folder, doomed, ignored);
    fs::remove_all(doomed, ignored);
  }
}

}  // namespace adatape
