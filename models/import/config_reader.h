// SPDX-License-Identifier: Apache-2.0
// The fields of a JSON object, read by name: which were read is remembered, and every fault is collected. Knows no
// family of models; models/import/hf_config.h does.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "sim/base/error.h"

namespace lightcone::models {

using Json = nlohmann::json;

// `text` as a JSON object. Throws ConfigError with `file`, line and column of what is not JSON: a file that is cut, not
// UTF-8, nested deeper than any configuration, or that holds a number no double can hold.
Json parse_config(const std::string& text, const std::string& file);

class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string file);

  [[nodiscard]] bool has(const std::string& field);           // null counts as not there
  [[nodiscard]] bool absent(const std::string& field) const;  // not even null is written

  // Sizes are whole numbers of at most 2^30, as in a model file. Faults and harmless values otherwise.
  std::uint64_t size(const std::string& field);
  std::uint64_t size_or(const std::string& field, std::uint64_t missing, std::uint64_t least = 1);
  bool flag_or(const std::string& field, bool missing);
  std::string text_or(const std::string& field, const std::string& missing);
  std::set<std::string> texts(const std::string& field);           // the different strings of a list; empty without one
  std::vector<std::string> text_list(const std::string& field);    // in order
  std::vector<std::uint64_t> size_list(const std::string& field);  // whole numbers from 0, in order
  // Takes note of fields whose part of the model is left out, to be named to the user: `costs` when it changes cost.
  void leave_out(const std::vector<std::string>& fields, bool costs = false);
  [[nodiscard]] const std::set<std::string>& left_out(bool costs) const { return left_out_[costs ? 1 : 0]; }

  void fault(const std::string& field, std::string message);
  void throw_faults() const;                              // ConfigError, when there are any
  [[nodiscard]] std::vector<std::string> unread() const;  // sorted
  [[nodiscard]] const Json& value(const std::string& field) const { return config_.at(field); }

 private:
  std::uint64_t checked_size(const std::string& field, std::uint64_t least = 1);

  const Json& config_;
  std::string file_;
  std::set<std::string> read_;
  std::set<std::string> left_out_[2];
  std::vector<Diagnostic> faults_;
};

// A value as it is shown in messages: JSON, cut when it is long.
std::string shown(const Json& value);

}  // namespace lightcone::models
