// Where and with what a run was made: git revision, versions, host, CPU.
#pragma once

#include <nlohmann/json.hpp>

namespace adatape {

/// Facts of this process's surroundings, for environment.json and `--version`.
nlohmann::json environment();

/// "adatape 0.1.0 (LibTorch 2.11.0, CUDA none, CPU avx512)".
std::string version_text();

}  // namespace adatape
