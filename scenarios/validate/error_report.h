// SPDX-License-Identifier: Apache-2.0
// A validation as text for people, as JSON, and as the error table that later results refer to.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "scenarios/run/validation_table.h"
#include "scenarios/validate/error_summary.h"
#include "scenarios/validate/measured_row.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::scenarios {

struct ValidationReport {
  Evaluator evaluator = Evaluator::cycle;
  MeasuredHalf half = MeasuredHalf::all;  // that the points were taken from
  std::size_t rows_read = 0;
  std::size_t rows_flagged = 0;                            // not fit for error figures, as the data set says
  std::size_t rows_without_time = 0;                       // another kind of measurement
  std::size_t rows_other_half = 0;                         // that could be compared, but lie in the other half
  std::map<std::string, std::size_t> unsupported, failed;  // reason -> rows
  const std::vector<MeasuredRow>* rows = nullptr;          // what ComparedPoint::row refers to
  std::vector<ComparedPoint> points;
};

// The worst points of every group, then one table: at the end stands what is looked for first.
std::string to_text(const ValidationReport& report);
std::string to_json(const ValidationReport& report);

// Columns of the committed validation table (scenarios/run/validation_table.h): one line per GPU, op, dtype and region
// of predicted time, all sources together. `gpu_names`: GPU as the data names it -> as the machine names it.
std::string to_error_table(const ValidationReport& report, const std::map<std::string, std::string>& gpu_names);

}  // namespace lightcone::scenarios
