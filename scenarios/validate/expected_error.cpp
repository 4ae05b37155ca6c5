// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/expected_error.h"

#include "scenarios/validate/row_to_operator.h"

namespace lightcone::scenarios {

std::optional<ErrorEstimate> expected_error(const ValidationTable& table, const OperatingPoint& point,
                                            const Prediction& prediction, const std::string& gpu, Evaluator evaluator) {
  if (prediction.state != PredictionState::predicted) return std::nullopt;
  const Seconds time(prediction.time_us * 1e-6);
  if (auto own = table.find(gpu, evaluator, {point.op, point.dtype}, time)) return own;
  const RowMapping row = map_row(point);
  if (!row.mapped || row.mapped->operators.empty()) return std::nullopt;
  return table.find(gpu, evaluator, validation_class(row.mapped->operators.back()), time);
}

}  // namespace lightcone::scenarios
