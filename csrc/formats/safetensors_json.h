// The JSON text of a safetensors header, read event by event: the grammar is fixed and three levels
// deep, so nothing is built that the format has no place for, however large or deep the text. The
// result is checked tensor by tensor; where the tensors lie is not checked here.
#pragma once

#include <string>
#include <string_view>

#include "csrc/formats/safetensors_header.h"

namespace adatape::formats {

/// Tensors in the order of the text. Throws FormatError naming `file` and the tensor.
SafetensorsHeader parse_safetensors_json(std::string_view json, const std::string& file);

/// The error for a file that cannot be trusted: what is wrong with it, and what to do.
FormatError damaged(const std::string& file, const std::string& what);

}  // namespace adatape::formats
