// JSON from files that others may have changed. nlohmann's parser does not recurse, but its copies
// and dump() do: what is nested deeply would end the process when used.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace adatape {

/// `text` as JSON; a discarded value if it is none, or nests more than 16 deep.
nlohmann::json parse_json(std::string_view text);

/// The whole of a file. Throws formats::FormatError if it cannot be read, or is longer than a file
/// of ours ever is.
std::string read_text(const std::string& path);

}  // namespace adatape
