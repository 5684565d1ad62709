// Text from outside, made fit for messages: UTF-8 checks, escapes, bounded quotes, and the nearest
// known word. Nothing here knows of YAML or settings.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace adatape::config {

/// Decodes the code point at `position` and moves past it; nothing, and no move, where the bytes
/// are not UTF-8 (overlong forms and surrogates are not).
std::optional<char32_t> next_code_point(std::string_view text, std::size_t& position);

/// False for control and formatting characters, which could rewrite a terminal's line.
bool is_printable(char32_t code);

bool is_utf8(std::string_view text);

/// `text` with everything that is unprintable or not UTF-8 escaped as \n, \xNN or \uNNNN.
std::string printable(std::string_view text);

/// 'text' in single quotes, cut to 60 bytes.
std::string quote(std::string_view text);

/// "a, b, c", or with another separator.
std::string joined(const std::vector<std::string>& words, std::string_view separator = ", ");

/// The candidate that `word` most likely stands for: few edits away, counting a swap of neighbours
/// as one and capitals and dashes as none. Nothing if none is near.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

}  // namespace adatape::config
