// The end of a run as a person reads it.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace adatape {

/// The record's number of this name; NaN where it has none (JSON writes NaN as null).
double number(const nlohmann::json& record, const std::string& name);

/// summary.json's content as a table.
std::string summary_table(const nlohmann::json& summary);

}  // namespace adatape
