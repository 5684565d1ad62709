// Named torch tensors as safetensors files.
#pragma once

#include <map>
#include <string>

#include "trainers/named_tensors.h"

namespace adatape {

/// Writes the tensors (any device, any layout) under their names. Returns the XXH3 of each tensor's
/// data. Throws formats::IoError.
std::map<std::string, std::string> write_tensors(const std::string& path,
                                                 const NamedTensors& tensors);

/// Reads exactly these tensors: same names, shapes and types as in the file, none missing or left
/// over. Nothing is written into them before the whole file has been read. Throws
/// formats::FormatError.
void read_tensors(const std::string& path, const NamedTensors& into);

}  // namespace adatape
