// Reference vectors: tests/golden, or the folder that ADATAPE_GOLDEN_DIR names (same layout, other
// numbers).
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "csrc/formats/safetensors.h"

namespace adatape::test {

struct GoldenCase {
  std::string name;
  nlohmann::json attributes, tolerance;
  std::vector<std::string> parameters, outputs;
  std::map<std::string, torch::Tensor> tensors;  // float64 and int64
};

inline std::string golden_folder() {
  const char* folder = std::getenv("ADATAPE_GOLDEN_DIR");
  return folder ? folder : ADATAPE_SOURCE_DIR "/tests/golden";
}

inline std::map<std::string, torch::Tensor> read_all(const std::string& path) {
  const formats::SafetensorsFile file(path);
  std::map<std::string, torch::Tensor> tensors;
  for (const formats::TensorInfo& info : file.tensors()) {
    const auto type = info.dtype == formats::Dtype::I64 ? torch::kLong : torch::kDouble;
    tensors[info.name] = torch::empty(info.shape, type);
    file.read(info, tensors[info.name].mutable_data_ptr());
  }
  return tensors;
}

/// Every case of the manifest whose `model` is this one.
inline std::vector<GoldenCase> golden_models(const std::string& model) {
  std::ifstream stream(golden_folder() + "/MANIFEST.json");
  const nlohmann::json manifest = nlohmann::json::parse(stream);
  std::vector<GoldenCase> cases;
  for (const auto& entry : manifest.at("files")) {
    if (entry.value("model", "") != model) continue;
    cases.push_back({entry.at("file"), entry.at("attributes"), entry.at("tolerance"),
                     entry.at("parameters"), entry.at("outputs"),
                     read_all(golden_folder() + "/" + entry.at("file").get<std::string>())});
  }
  return cases;
}

/// |value - reference| <= atol + rtol_of_max * max|reference|; integers exactly.
inline void expect_close(const torch::Tensor& value, const torch::Tensor& reference,
                         const nlohmann::json& tolerance, const std::string& what) {
  ASSERT_EQ(value.sizes(), reference.sizes()) << what;
  if (!reference.is_floating_point()) {
    EXPECT_TRUE(torch::equal(value.to(torch::kLong), reference)) << what;
    return;
  }
  if (reference.numel() == 0) return;
  const double allowed =
      tolerance.at("atol").get<double>() +
      tolerance.at("rtol_of_max").get<double>() * reference.abs().max().item<double>();
  EXPECT_LE((value.to(torch::kDouble) - reference).abs().max().item<double>(), allowed) << what;
}

}  // namespace adatape::test
