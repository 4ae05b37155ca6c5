// SPDX-License-Identifier: Apache-2.0
#include "models/import/config_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace lightcone::models {
namespace {

constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 30;
constexpr int kDeepest = 100;  // levels; real configurations have three or four

// Line and column of a byte, both from 1.
SourceLocation place(const std::string& text, std::size_t byte, const std::string& file) {
  const std::string before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const std::size_t last_line = before.rfind('\n');
  const std::size_t column = last_line == std::string::npos ? before.size() : before.size() - last_line - 1;
  return {file, static_cast<int>(1 + std::count(before.begin(), before.end(), '\n')), static_cast<int>(column + 1)};
}

// The library's text without its own prefix and place; what it read last may be as long as the file.
std::string reason(std::string what) {
  constexpr std::size_t kEnough = 160;
  for (char& c : what) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  std::size_t start = what.find("] ");
  start = start == std::string::npos ? 0 : start + 2;
  if (what.compare(start, 11, "parse error") == 0) {
    const std::size_t colon = what.find(": ", start);
    if (colon != std::string::npos) start = colon + 2;
  }
  return what.size() - start <= kEnough ? what.substr(start) : what.substr(start, kEnough) + " ...";
}

}  // namespace

Json parse_config(const std::string& text, const std::string& file) {
  const auto not_too_deep = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) throw ConfigError(fmt::format("{}: is nested more than {} levels deep", file, kDeepest));
    return true;
  };
  try {
    Json config = Json::parse(text, not_too_deep);
    if (!config.is_object()) throw ConfigError(file + ": a configuration is a JSON object");
    return config;
  } catch (const Json::parse_error& error) {
    throw ConfigError({{place(text, error.byte, file), "", "is not JSON: " + reason(error.what()), {}}});
  } catch (const Json::exception& error) {  // a number out of range
    throw ConfigError(file + ": cannot be read as JSON: " + reason(error.what()));
  }
}

ConfigReader::ConfigReader(const Json& config, std::string file) : config_(config), file_(std::move(file)) {}

bool ConfigReader::has(const std::string& field) {
  read_.insert(field);
  return config_.contains(field) && !config_.at(field).is_null();
}

bool ConfigReader::absent(const std::string& field) const { return !config_.contains(field); }

std::uint64_t ConfigReader::size(const std::string& field) {
  if (has(field)) return checked_size(field);
  fault(field, "is missing");
  return 1;
}

std::uint64_t ConfigReader::size_or(const std::string& field, std::uint64_t missing, std::uint64_t least) {
  return has(field) ? checked_size(field, least) : missing;
}

bool ConfigReader::flag_or(const std::string& field, bool missing) {
  if (!has(field)) return missing;
  if (config_.at(field).is_boolean()) return config_.at(field).get<bool>();
  fault(field, "must be true or false, got " + shown(config_.at(field)));
  return missing;
}

std::string ConfigReader::text_or(const std::string& field, const std::string& missing) {
  if (!has(field)) return missing;
  if (config_.at(field).is_string()) return config_.at(field).get<std::string>();
  fault(field, "must be a string, got " + shown(config_.at(field)));
  return missing;
}

std::set<std::string> ConfigReader::texts(const std::string& field) {
  const std::vector<std::string> list = text_list(field);
  return {list.begin(), list.end()};
}

std::vector<std::string> ConfigReader::text_list(const std::string& field) {
  std::vector<std::string> out;
  if (!has(field)) return out;
  const Json& list = config_.at(field);
  const bool strings =
      list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& text) { return text.is_string(); });
  if (!strings) {
    fault(field, "must be a list of strings, got " + shown(list));
    return out;
  }
  for (const Json& text : list) out.push_back(text.get<std::string>());
  return out;
}

std::vector<std::uint64_t> ConfigReader::size_list(const std::string& field) {
  std::vector<std::uint64_t> out;
  if (!has(field)) return out;
  const Json& list = config_.at(field);
  const auto whole = [](const Json& n) { return n.is_number_unsigned() && n.get<std::uint64_t>() <= kLargestSize; };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), whole)) {
    fault(field, "must be a list of whole numbers, got " + shown(list));
    return out;
  }
  for (const Json& number : list) out.push_back(number.get<std::uint64_t>());
  return out;
}

void ConfigReader::leave_out(const std::vector<std::string>& fields, bool costs) {
  for (const std::string& field : fields) {
    if (has(field)) left_out_[costs ? 1 : 0].insert(field);
  }
}

void ConfigReader::fault(const std::string& field, std::string message) {
  Diagnostic& added = faults_.emplace_back();
  added.where.file = file_;
  added.field = field;
  added.message = std::move(message);
}

void ConfigReader::throw_faults() const {
  if (!faults_.empty()) throw ConfigError(faults_);
}

std::vector<std::string> ConfigReader::unread() const {
  std::vector<std::string> out;
  for (const auto& [field, value] : config_.items()) {
    if (read_.count(field) == 0) out.push_back(field);
  }
  return out;
}

std::uint64_t ConfigReader::checked_size(const std::string& field, std::uint64_t least) {
  const Json& value = config_.at(field);
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number >= least && number <= kLargestSize) return number;
  }
  fault(field, fmt::format("must be a whole number from {} to {}, got {}", least, kLargestSize, shown(value)));
  return 1;
}

std::string shown(const Json& value) {
  constexpr std::size_t kEnough = 60;
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kEnough ? text : text.substr(0, kEnough) + " ...";
}

}  // namespace lightcone::models
