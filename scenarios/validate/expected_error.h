// SPDX-License-Identifier: Apache-2.0
// The error to expect of a predicted point, from the committed validation table.
#pragma once

#include <optional>
#include <string>

#include "scenarios/run/validation_table.h"
#include "scenarios/validate/predict.h"

namespace lightcone::scenarios {

// The class that bears the row's own op and dtype, else that of the last operator it is mapped to (the others prepare
// its operands). Nothing where there is no prediction or no such class: the point is unvalidated. `gpu`: name of the
// machine that it was predicted on.
std::optional<ErrorEstimate> expected_error(const ValidationTable& table, const OperatingPoint& point,
                                            const Prediction& prediction, const std::string& gpu, Evaluator evaluator);

}  // namespace lightcone::scenarios
