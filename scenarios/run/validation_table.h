// SPDX-License-Identifier: Apache-2.0
// How far predictions of a class (GPU, operator, number format, size region) were from published measurements: the
// committed table that gives every result its expected error. A class that is not in it is `unvalidated`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "models/graph/operator.h"
#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

// The names that measured data uses: "attention_prefill" and "attention_decode", "rmsnorm", "layernorm", "bmm", else
// the operator's kind; the number format of the activations, for quantised matrices that of the kernel ("int8_wo").
struct ValidationClass {
  std::string op;
  std::string format;
};
ValidationClass validation_class(const models::Operator& op);

// Size regions by predicted time: "under_10us", "10us_100us", "100us_1ms", "over_1ms".
std::string size_region(Seconds time);

// The committed table; `lightcone validate ... --table FILE` writes it.
std::filesystem::path validation_table_file();

// The rows behind an error figure: every measured row, or one of the halves that scenarios/validate/half.h tells apart.
enum class MeasuredHalf : std::uint8_t { all, calibration, held_out };
std::string_view name(MeasuredHalf half);

// Whether the calibrated constants were found on rows of the calibration half alone. They were not: every one of them
// saw both halves. Until a calibration leaves the other half out, no figure may be called held-out.
inline constexpr bool kCalibratedOnOneHalf = false;

class ValidationTable {
 public:
  ValidationTable() = default;  // nothing validated

  // Reads a CSV with the columns gpu, evaluator, op, dtype, region, half, points, median_percent, mean_percent, one row
  // per class. A file that does not exist is an empty table; one that cannot be read is a ConfigError with its line.
  // `one_half`: whether figures of the held-out half are held-out figures.
  static ValidationTable load(const std::filesystem::path& file, bool one_half = kCalibratedOnOneHalf);

  [[nodiscard]] std::optional<ErrorEstimate> find(const std::string& gpu, Evaluator evaluator,
                                                  const ValidationClass& op_class, Seconds time) const;
  [[nodiscard]] std::size_t size() const { return classes_.size(); }

 private:
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, ErrorEstimate> classes_;
};

}  // namespace lightcone::scenarios
