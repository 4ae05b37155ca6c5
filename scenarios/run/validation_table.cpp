// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/validation_table.h"

#include <array>
#include <fstream>
#include <stdexcept>

#include "scenarios/run/operator_format.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {
namespace {

constexpr std::array<const char*, 8> kColumns{"gpu",    "evaluator",      "op",          "dtype", "region",
                                              "points", "median_percent", "mean_percent"};

std::string evaluator_name(Evaluator evaluator) { return evaluator == Evaluator::cycle ? "cycle" : "analytical"; }

}  // namespace

ValidationClass validation_class(const models::Operator& op) {
  std::string name = models::kind_name(op);
  if (const auto* attention = std::get_if<models::Attention>(&op)) {
    name = attention->q_len == 1 ? "attention_decode" : "attention_prefill";
  } else if (const auto* norm = std::get_if<models::Norm>(&op)) {
    name = norm->kind == models::NormKind::rms ? "rmsnorm" : "layernorm";
  } else if (std::holds_alternative<models::BatchedGemm>(op)) {
    name = "bmm";
  }
  return {name, std::string(lightcone::name(operator_format(op)))};
}

std::string size_region(Seconds time) {
  if (time.count() < 10e-6) return "under_10us";
  if (time.count() < 100e-6) return "10us_100us";
  if (time.count() < 1e-3) return "100us_1ms";
  return "over_1ms";
}

std::filesystem::path validation_table_file() {
  return std::filesystem::path(share_folder()) / "scenarios/validate/errors.csv";
}

ValidationTable ValidationTable::load(const std::filesystem::path& file) {
  ValidationTable table;
  std::ifstream in(file);
  if (!in) return table;
  CsvReader reader(in, file.string());
  std::array<std::size_t, kColumns.size()> at{};
  for (std::size_t c = 0; c < kColumns.size(); ++c) at[c] = reader.required_column(kColumns[c]);
  while (const auto row = reader.next()) {
    const auto cell = [&](std::size_t column) { return row->cells[at[column]]; };
    try {
      table.classes_[{cell(0), cell(1), cell(2), cell(3), cell(4)}] = {std::stoull(cell(5)), std::stod(cell(6)),
                                                                       std::stod(cell(7))};
    } catch (const std::logic_error&) {  // what stoull and stod throw
      Diagnostic fault;
      fault.where = {file.string(), row->line, 1};
      fault.message = "points, median_percent and mean_percent must be numbers";
      throw ConfigError({fault});
    }
  }
  return table;
}

std::optional<ErrorEstimate> ValidationTable::find(const std::string& gpu, Evaluator evaluator,
                                                   const ValidationClass& op_class, Seconds time) const {
  const auto found = classes_.find({gpu, evaluator_name(evaluator), op_class.op, op_class.format, size_region(time)});
  if (found == classes_.end()) return std::nullopt;
  return found->second;
}

}  // namespace lightcone::scenarios
