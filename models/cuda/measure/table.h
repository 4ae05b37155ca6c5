// SPDX-License-Identifier: Apache-2.0
// Rows of measured tables, as `lightcone validate` and `calibrate` read them: columns source, gpu, op, params, dtype,
// time_us, value, unit, kernel, note, flag.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lightcone::models::cuda {

// Sizes in the order of the measured tables; text where a parameter is a name.
struct Param {
  Param(std::string n, std::int64_t v) : name(std::move(n)), number(v) {}
  Param(std::string n, std::string t) : name(std::move(n)), text(std::move(t)) {}
  Param(std::string n, const char* t) : name(std::move(n)), text(t) {}
  std::string name;
  std::int64_t number = 0;
  std::string text = {};
};

// Either a time, or a value with its unit.
struct TableRow {
  std::string source, gpu, op;
  std::vector<Param> params;
  std::string dtype;
  std::optional<double> time_us, value;
  std::string unit, kernel, note, flag;
};

std::string table_header();
std::string table_line(const TableRow& row);

// The name of a GPU in measured tables ("H100-SXM-80GB") from the driver's ("NVIDIA H100 80GB HBM3"). A GPU that the
// tables do not know keeps its own name without the vendor, words joined.
std::string gpu_name(const std::string& device);

}  // namespace lightcone::models::cuda
