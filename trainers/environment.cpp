#include "trainers/environment.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <sys/utsname.h>
#include <torch/version.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>

#include "csrc/ops/launch.h"

namespace adatape {
namespace {

/// The first line that a shell command prints; empty if it fails.
std::string first_line(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  if (!pipe) return "";
  std::array<char, 256> line{};
  const bool read = std::fgets(line.data(), int(line.size()), pipe) != nullptr;
  ::pclose(pipe);
  const std::string text = read ? line.data() : "";
  return text.substr(0, text.find('\n'));
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

nlohmann::json environment() {
  utsname host{};
  ::uname(&host);
  const std::string git = "git -C '" ADATAPE_SOURCE_DIR "' ";
  const std::time_t now = std::time(nullptr);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return {{"version", ADATAPE_VERSION},
          {"git_revision", first_line(git + "rev-parse HEAD")},
          {"git_dirty", !first_line(git + "status --porcelain --untracked-files=no").empty()},
          {"torch", TORCH_VERSION},
          {"compiler", __VERSION__},
          {"host", host.nodename},
          {"system", std::string(host.sysname) + " " + host.release + " " + host.machine},
          {"cpu", cpu_model()},
          {"cpu_kernels", ops::cpu_kernels("adatape").isa},
          {"cores", std::thread::hardware_concurrency()},
          {"device", "cpu"},
          {"started", time.data()}};
}

std::string cuda_text(std::optional<long> version) {
  if (!version) return "none";
  return std::to_string(*version / 1000) + "." + std::to_string(*version / 10 % 100);
}

std::string version_text() {
  // There only if LibTorch's CUDA part is linked, which a machine without CUDA does not have.
  const at::CUDAHooksInterface& cuda = at::detail::getCUDAHooks();
  std::optional<long> version;
  if (cuda.hasCUDART()) version = cuda.versionCUDART();
  return "adatape " ADATAPE_VERSION " (LibTorch " TORCH_VERSION ", CUDA " + cuda_text(version) +
         ", CPU " + ops::cpu_kernels("adatape").isa + ")";
}

}  // namespace adatape
