// Where and with what a run was made: git revision, versions, host, CPU.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace adatape {

/// Facts of this process's surroundings, for environment.json and `--version`.
nlohmann::json environment();

/// "13.0" for 13000, the form in which the CUDA runtime states its version.
std::string cuda_text(std::optional<long> version);

/// "adatape 0.1.0 (LibTorch 2.11.0, CUDA none, CPU avx512)".
std::string version_text();

}  // namespace adatape
