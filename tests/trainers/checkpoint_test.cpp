#include "trainers/checkpoint.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <fstream>

#include "csrc/formats/digest.h"
#include "tests/support/temporary_folder.h"
#include "trainers/errors.h"

namespace adatape {
namespace {

namespace fs = std::filesystem;

NamedTensors sample(double value) {
  return {{"a", torch::full({2, 3}, value)},
          {"b.c", torch::full({}, value, torch::kDouble)},
          {"empty", torch::empty({0, 4})},
          {"half", torch::full({5}, value, torch::kBFloat16)}};
}

CheckpointContent content(double value) {
  return {{{"model", sample(value)}, {"optimizer", sample(value + 1)}}, {{"step", 7}}, "seed: 0\n"};
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// The message with which reading the checkpoint fails; empty if it succeeds. Tensors must stay as
/// they were.
std::string failure(const std::string& folder) {
  const std::map<std::string, NamedTensors> into = {{"model", sample(-5)},
                                                    {"optimizer", sample(-5)}};
  try {
    read_checkpoint(folder, into);
    return "";
  } catch (const RunError& error) {
    EXPECT_EQ(error.code, kCheckpoint);
    for (const auto& [set, tensors] : into) {
      for (const NamedTensor& n : tensors)
        EXPECT_TRUE((n.tensor == -5).all().item<bool>()) << set << " " << n.name;
    }
    return error.what();
  }
}

class Checkpoint : public ::testing::Test {
 protected:
  test::TemporaryFolder parent_;
  const std::string folder_ = parent_.path() + "/step-7";

  std::string at(int64_t step) const { return parent_.path() + "/step-" + std::to_string(step); }
};

TEST_F(Checkpoint, ReturnsWhatWasWritten) {
  write_checkpoint(folder_, content(1.5));
  const std::map<std::string, NamedTensors> into = {{"model", sample(0)}, {"optimizer", sample(0)}};
  EXPECT_EQ(read_checkpoint(folder_, into).at("step"), 7);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(torch::equal(into.at("model")[i].tensor, sample(1.5)[i].tensor));
    EXPECT_TRUE(torch::equal(into.at("optimizer")[i].tensor, sample(2.5)[i].tensor));
  }
  EXPECT_EQ(read(folder_ + "/config.yaml"), "seed: 0\n");
}

TEST_F(Checkpoint, EveryFlippedBitIsAnErrorThatNamesTheFile) {
  write_checkpoint(folder_, content(1.5));
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string intact = read(entry.path());
    for (size_t byte = 0; byte < intact.size(); ++byte) {
      std::string broken = intact;
      broken[byte] = char(broken[byte] ^ (1 << (byte % 8)));
      write(entry.path(), broken);
      const std::string message = failure(folder_);
      ASSERT_NE(message.find(entry.path().filename().string()), std::string::npos)
          << entry.path() << " byte " << byte << ": " << message;
    }
    write(entry.path(), intact);
  }
  EXPECT_EQ(failure(folder_), "");
}

TEST_F(Checkpoint, EveryBitOfTheManifestCounts) {
  write_checkpoint(folder_, content(1.5));
  const std::string path = folder_ + "/manifest.json", intact = read(path);
  for (size_t bit = 0; bit < 8 * intact.size(); ++bit) {
    std::string broken = intact;
    broken[bit / 8] = char(broken[bit / 8] ^ (1 << (bit % 8)));
    write(path, broken);
    ASSERT_NE(failure(folder_).find("manifest.json"), std::string::npos) << bit;
  }
}

/// Nested so deep that whatever recurses over it overflows the stack.
std::string deep_array() { return std::string(300000, '[') + std::string(300000, ']'); }

TEST_F(Checkpoint, DeeplyNestedManifestIsDamageNotACrash) {
  write_checkpoint(folder_, content(1.5));
  for (const std::string& end : {deep_array() + "}}", std::string(300000, '[')}) {
    write(folder_ + "/manifest.json", "{\"files\":{\"a\":" + end);
    EXPECT_NE(failure(folder_).find("manifest.json is damaged"), std::string::npos);
  }
}

TEST_F(Checkpoint, DeeplyNestedStateIsDamageNotACrash) {
  write_checkpoint(folder_, content(1.5));
  const std::string state = "{\"step\":7,\"progress\":" + deep_array() + "}";
  write(folder_ + "/state.json", state);
  auto files = nlohmann::json::parse(read(folder_ + "/manifest.json")).at("files");
  files["state.json"] = {{"bytes", state.size()},
                         {"xxh3", formats::xxh3_hex(state.data(), state.size())}};
  const std::string text = files.dump();
  const nlohmann::json manifest = {
      {"digest", formats::xxh3_hex(text.data(), text.size())}, {"files", files}, {"format", 1}};
  write(folder_ + "/manifest.json", manifest.dump(1) + "\n");
  EXPECT_NO_THROW(verify_checkpoint(folder_));
  try {
    read_checkpoint(folder_, {});
    FAIL() << "read";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("state.json"), std::string::npos) << error.what();
  }
}

TEST_F(Checkpoint, CutAndMissingFilesAreErrors) {
  write_checkpoint(folder_, content(1.5));
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string intact = read(entry.path()), name = entry.path().filename();
    for (size_t size : {size_t(0), size_t(1), intact.size() / 2, intact.size() - 1}) {
      write(entry.path(), intact.substr(0, size));
      EXPECT_NE(failure(folder_).find(name), std::string::npos) << name << " cut to " << size;
    }
    write(entry.path(), intact + "x");
    EXPECT_NE(failure(folder_).find(name), std::string::npos) << name << " with a byte too many";
    fs::remove(entry.path());
    EXPECT_NE(failure(folder_).find(name), std::string::npos) << name << " missing";
    write(entry.path(), intact);
  }
}

TEST_F(Checkpoint, DamageInATensorNamesIt) {
  write_checkpoint(folder_, content(1.5));
  std::string data = read(folder_ + "/model.safetensors");
  data.back() ^= 1;  // the last tensor's last byte
  write(folder_ + "/model.safetensors", data);
  EXPECT_NE(failure(folder_).find("tensor 'half'"), std::string::npos) << failure(folder_);
}

TEST_F(Checkpoint, AnotherModelsTensorsAreErrorsThatNameThem) {
  write_checkpoint(folder_, content(1.5));
  const auto message = [&](NamedTensors model) {
    try {
      read_checkpoint(folder_, {{"model", model}});
      return std::string();
    } catch (const RunError& error) {
      return std::string(error.what());
    }
  };
  NamedTensors changed = sample(0);
  changed[0].tensor = torch::zeros({3, 2});
  EXPECT_NE(message(changed).find("'a' has shape [2, 3]"), std::string::npos) << message(changed);
  changed[0].tensor = torch::zeros({2, 3}, torch::kDouble);
  EXPECT_NE(message(changed).find("'a' has type F32"), std::string::npos) << message(changed);
  changed = sample(0);
  changed.push_back({"more", torch::zeros({1})});
  EXPECT_NE(message(changed).find("more"), std::string::npos) << message(changed);
  changed = sample(0);
  changed.pop_back();
  EXPECT_NE(message(changed).find("'half' is not one of the model's"), std::string::npos)
      << message(changed);
}

TEST_F(Checkpoint, DamagedOnesAreSetAsideSoThatTheirStepsCanBeSavedAgain) {
  for (int64_t step : {1, 5, 20}) write_checkpoint(at(step), content(double(step)));
  for (int round = 0; round < 2; ++round) {
    write(at(20) + "/state.json", "{}");
    set_newer_aside(parent_.path(), newest_intact(parent_.path())->step);
    EXPECT_TRUE(fs::exists(at(20) + ".damaged/state.json"));
    write_checkpoint(at(20), content(20));
    EXPECT_EQ(newest_intact(parent_.path())->step, 20);
  }
  EXPECT_EQ(stored_checkpoints(parent_.path()).size(), 3u);
}

TEST_F(Checkpoint, NewestIntactFallsBackAndPruningKeepsTheBest) {
  for (int64_t step : {1, 5, 20, 100}) write_checkpoint(at(step), content(double(step)));
  fs::create_directory(parent_.path() + "/step-x");
  const auto steps = [&] {
    std::vector<int64_t> list;
    for (const auto& c : stored_checkpoints(parent_.path())) list.push_back(c.step);
    return list;
  };
  EXPECT_EQ(steps(), (std::vector<int64_t>{100, 20, 5, 1}));
  write(at(100) + "/state.json", "{}");
  EXPECT_EQ(newest_intact(parent_.path())->step, 20);
  // The best evaluation of all was at a step whose checkpoint could not be written.
  const std::map<int64_t, double> accuracy = {{1, 0.7}, {3, 0.9}, {5, 0.7}, {20, 0.6}};
  EXPECT_EQ(best_checkpoint(parent_.path(), accuracy)->step, 1);
  prune_checkpoints(parent_.path(), 2, accuracy);
  EXPECT_EQ(steps(), (std::vector<int64_t>{100, 20, 1}));
  prune_checkpoints(parent_.path(), 2, {});
  EXPECT_EQ(steps(), (std::vector<int64_t>{100, 20}));
  write(at(20) + "/manifest.json", "");
  EXPECT_THROW(newest_intact(parent_.path()), RunError);
  EXPECT_FALSE(newest_intact(parent_.path() + "/none").has_value());
}

}  // namespace
}  // namespace adatape
