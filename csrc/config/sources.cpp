#include "csrc/config/sources.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "csrc/config/scalar.h"
#include "csrc/config/text.h"
#include "csrc/config/yaml_reader.h"

namespace adatape::config {
namespace {

constexpr std::size_t kMaxFiles = 16;

struct OpenFile {
  explicit OpenFile(int file) : descriptor(file) {}
  ~OpenFile() {
    if (descriptor >= 0) close(descriptor);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int descriptor;
};

struct FileText {
  std::string text;
  std::pair<dev_t, ino_t> identity;
  std::string problem;  // a sentence's end, "cannot be read: ..."; empty if all went well
};

std::string failed(const std::string& what) {
  return what + ": " + std::generic_category().message(errno);
}

FileText read_bytes(const std::string& path) {
  FileText out;
  // Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
  const OpenFile file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  struct stat info {};
  if (file.descriptor < 0 || fstat(file.descriptor, &info) != 0) {
    out.problem = failed("cannot be read");
    return out;
  }
  out.identity = {info.st_dev, info.st_ino};
  if (S_ISDIR(info.st_mode)) {
    out.problem = "is a directory: name a YAML file";
  } else if (!S_ISREG(info.st_mode)) {
    out.problem = "is not a regular file: name a YAML file";
  } else if (static_cast<std::size_t>(info.st_size) > kMaxBytes) {
    out.problem = "has " + std::to_string(info.st_size) + " bytes, and a configuration at most " +
                  std::to_string(kMaxBytes) + ": is it the right file?";
  }
  std::array<char, 16384> block;
  while (out.problem.empty() && out.text.size() <= kMaxBytes) {
    const ssize_t count = read(file.descriptor, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) out.problem = failed("cannot be read");
    if (count <= 0) break;
    out.text.append(block.data(), static_cast<std::size_t>(count));
  }
  return out;
}

// The document if it is what a whole file may be: sections, or nothing at all.
std::optional<Node> read_document(std::string_view text, int source, Report& report) {
  std::optional<Node> node = read_yaml(text, source, true, report);
  if (!node || node->kind == Node::Kind::kMap || node->kind == Node::Kind::kNull) return node;
  const bool glued = node->kind == Node::Kind::kScalar && !node->quoted &&
                     node->text.find(':') != std::string::npos;
  report.add(node->where, "the file " + what_it_is(*node) +
                              ", but 'key: value' lines are expected" +
                              (glued ? ": put a space after the ':'" : ""));
  return std::nullopt;
}

// Takes the entry `base` out of the document.
std::optional<Node> take_base(Node& document) {
  const auto entry = std::find_if(document.entries.begin(), document.entries.end(),
                                  [](const Entry& e) { return e.key == "base"; });
  if (entry == document.entries.end()) return std::nullopt;
  Node base = std::move(entry->value);
  document.entries.erase(entry);
  return base;
}

// The file name in a `base:` entry, or empty after a complaint.
std::string base_name(const Node& base, Report& report) {
  double number = 0;
  bool boolean = false;
  if (base.kind == Node::Kind::kScalar && !base.text.empty() && read_scalar(base, number) &&
      read_scalar(base, boolean)) {
    return base.text;
  }
  report.add(base.where, "'base' " + what_it_is(base) +
                             ", but the name of one YAML file is expected" +
                             (base.kind == Node::Kind::kList ? ": chain the files instead, each "
                                                               "with a 'base' of its own"
                                                             : ""));
  return "";
}

}  // namespace

Layers read_file(const std::string& path, Report& report) {
  Layers layers;
  std::vector<std::string> names;
  std::vector<std::pair<dev_t, ino_t>> seen;
  std::string next = path;
  Location named_at{report.add_source(path), 1};
  do {
    const FileText file = read_bytes(next);
    const std::string subject = names.empty() ? "the file " : "the base '" + next + "' ";
    const auto before = std::find(seen.begin(), seen.end(), file.identity);
    names.push_back(next);
    std::string problem = file.problem;
    if (problem.empty() && before != seen.end()) {
      const std::vector<std::string> cycle(names.begin() + (before - seen.begin()), names.end());
      problem = "leads back to itself: " + joined(cycle, " -> ");
    } else if (problem.empty() && names.size() > kMaxFiles) {
      problem = "makes a chain of more than " + std::to_string(kMaxFiles) + " files";
    }
    if (!problem.empty()) {
      report.add(named_at, subject + problem);
      layers.complete = false;
      break;
    }
    seen.push_back(file.identity);
    const int source = names.size() == 1 ? named_at.source : report.add_source(next);
    std::optional<Node> document = read_document(file.text, source, report);
    if (!document) {
      layers.complete = false;
      break;
    }
    const std::optional<Node> base = take_base(*document);
    layers.nodes.insert(layers.nodes.begin(), std::move(*document));
    if (!base) break;
    named_at = base->where;
    const std::string name = base_name(*base, report);
    if (name.empty()) layers.complete = false;
    next = name.empty() ? "" : (std::filesystem::path(next).parent_path() / name).string();
  } while (!next.empty());
  return layers;
}

Layers read_text(std::string_view text, const std::string& name, Report& report) {
  Layers layers;
  std::optional<Node> document = read_document(text, report.add_source(name), report);
  layers.complete = document.has_value();
  if (!document) return layers;
  if (const std::optional<Node> base = take_base(*document)) {
    report.add(base->where, "'base' is possible in a file only: leave it out");
    layers.complete = false;
  }
  layers.nodes.push_back(std::move(*document));
  return layers;
}

}  // namespace adatape::config
