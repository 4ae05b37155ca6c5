// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/validation_table.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>

#include "scenarios/run/operator_format.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"
#include "sim/base/resources.h"

namespace lightcone::scenarios {
namespace {

constexpr std::array<const char*, 9> kColumns{"gpu",    "evaluator",      "op",          "dtype", "region", "half",
                                              "points", "median_percent", "mean_percent"};
constexpr std::array<std::string_view, 3> kHalves{"all", "calibration", "held_out"};  // in the order of MeasuredHalf

[[noreturn]] void fail(const std::filesystem::path& file, int line, const std::string& message) {
  Diagnostic fault;
  fault.where = {file.string(), line, 1};
  fault.message = message;
  throw ConfigError({fault});
}

std::string evaluator_name(Evaluator evaluator) { return evaluator == Evaluator::cycle ? "cycle" : "analytical"; }

// Data sets name the 8-bit formats by their width and the kernel, and have element-wise kernels in fp16 only: those
// move the same bytes in either 16-bit format.
std::string data_set_format(const models::Operator& op) {
  const NumberFormat format = operator_format(op);
  if (const auto* gemm = std::get_if<models::Gemm>(&op)) {
    const bool wide = format == NumberFormat::bf16 || format == NumberFormat::fp16;
    if (wide && gemm->weight == NumberFormat::int8) return "int8_wo";
    if (wide && gemm->weight == NumberFormat::int4) return "int4_wo";
    if (format == NumberFormat::int8) return "int8_sq";
    if (wide && gemm->weight != format) return "mixed";  // no data set has them
  }
  const bool streams = std::holds_alternative<models::Norm>(op) || std::holds_alternative<models::Softmax>(op) ||
                       std::holds_alternative<models::Elementwise>(op);
  if (streams && format == NumberFormat::bf16) return "fp16";
  if (format == NumberFormat::fp8_e4m3 || format == NumberFormat::fp8_e5m2) return "fp8";
  return std::string(lightcone::name(format));
}

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
  return {name, data_set_format(op)};
}

std::string size_region(Seconds time) {
  if (time.count() < 10e-6) return "under_10us";
  if (time.count() < 100e-6) return "10us_100us";
  if (time.count() < 1e-3) return "100us_1ms";
  return "over_1ms";
}

std::filesystem::path validation_table_file() {
  return std::filesystem::path(share_folder()) / "scenarios/run/validation_table.csv";
}

std::string_view name(MeasuredHalf half) { return kHalves[static_cast<std::size_t>(half)]; }

ValidationTable ValidationTable::load(const std::filesystem::path& file, bool one_half) {
  ValidationTable table;
  std::ifstream in(file);
  if (!in) return table;
  CsvReader reader(in, file.string());
  std::array<std::size_t, kColumns.size()> at{};
  for (std::size_t c = 0; c < kColumns.size(); ++c) at[c] = reader.required_column(kColumns[c]);
  while (const auto row = reader.next()) {
    const auto cell = [&](std::size_t column) { return row->cells[at[column]]; };
    if (std::find(kHalves.begin(), kHalves.end(), cell(5)) == kHalves.end()) {
      fail(file, row->line, "half must be all, calibration or held_out");
    }
    const bool held_out = one_half && cell(5) == name(MeasuredHalf::held_out);
    try {
      table.classes_[{cell(0), cell(1), cell(2), cell(3), cell(4)}] = {std::stoull(cell(6)), std::stod(cell(7)),
                                                                       std::stod(cell(8)), held_out};
    } catch (const std::logic_error&) {  // what stoull and stod throw
      fail(file, row->line, "points, median_percent and mean_percent must be numbers");
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
