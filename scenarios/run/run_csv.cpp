// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <map>

#include "scenarios/run/timeline.h"
#include "scenarios/run/write_run.h"
#include "sim/base/csv.h"

namespace lightcone::scenarios {
namespace {

using Cells = std::vector<std::string>;

std::string number(double value) { return fmt::format("{:.9g}", value); }
std::string number(std::uint64_t value) { return fmt::format("{}", value); }
std::string us(Seconds time) { return number(time.count() * 1e6); }

Cells reason_titles(const std::string& unit) {
  Cells titles;
  for (const std::string_view reason : kCycleReasonNames) titles.push_back(std::string(reason) + unit);
  return titles;
}

void append(Cells& cells, const Cells& more) { cells.insert(cells.end(), more.begin(), more.end()); }

Cells bound_cells(const ResourceBounds& b) {
  return {us(b.tensor), us(b.fp32), us(b.sfu), us(b.issue), us(b.shared), us(b.l2), us(b.hbm), us(b.launch)};
}

Cells work_cells(const WorkCounters& w) {
  return {number(w.mma_useful.count()),
          number(w.mma_executed.count()),
          number(w.vector_flops.count()),
          number(w.sfu_ops),
          number(w.shared_bytes.count()),
          number(w.l2_read.count()),
          number(w.l2_written.count()),
          number(w.l2_hit.count()),
          number(w.hbm_read.count()),
          number(w.hbm_written.count()),
          number(w.ctas)};
}

Cells energy_cells(const EnergyBreakdown& e) {
  return {number(e.idle.count()), number(e.tensor.count()), number(e.vector.count()), number(e.shared.count()),
          number(e.l2.count()),   number(e.hbm.count()),    number(e.sm.count()),     number(e.links.count())};
}

}  // namespace

std::string operators_csv(const RunResult& result) {
  Cells titles{"section", "operator",           "repeat",  "kind", "format", "multiply_format", "time_us", "total_us",
               "share",   "launch_overhead_us", "bound_by"};
  append(titles, reason_titles("_us"));
  append(titles, {"matrix_flops", "vector_flops", "bytes", "hbm_bytes", "tflops_per_s", "gigabytes_per_s",
                  "matrix_us_at_peak", "energy_j", "clock_mhz", "expected_error_percent", "kernels", "note", "phase"});
  std::string csv = csv_line(titles);
  for (const OperatorRow& row : result.operators) {
    const double share = result.latency.count() > 0 ? row.total_seconds() / result.latency.count() : 0;
    Cells cells{row.section,        row.name,
                number(row.repeat), row.kind,
                row.format,         row.multiply_format,
                us(row.time),       number(row.total_seconds() * 1e6),
                number(share),      us(row.launch),
                row.bound_by};
    for (const double seconds : row.reason_seconds) cells.push_back(number(seconds * 1e6));
    std::string kernels;
    for (const std::size_t kernel : row.kernels) {
      kernels += (kernels.empty() ? "" : ";") + result.kernels[kernel].result.program;
    }
    append(cells, {number(row.matrix_flops.count()), number(row.vector_flops.count()), number(row.bytes.count()),
                   number(row.hbm_bytes.count()), number(row.tflops_per_second()), number(row.gigabytes_per_second()),
                   number(row.peak_seconds * 1e6), number(row.energy.count()), number(row.clock.count() * 1e-6),
                   row.expected_error ? number(row.expected_error->median_absolute_percent) : "unvalidated", kernels,
                   row.note, row.phase});
    csv += csv_line(cells);
  }
  return csv;
}

std::string kernels_csv(const RunResult& result) {
  Cells titles{"program",  "hash",      "kind",  "format", "launches", "time_us", "total_us", "launch_overhead_us",
               "bound_by", "clock_mhz", "cycles"};
  append(titles, {"tensor_bound_us", "fp32_bound_us", "sfu_bound_us", "issue_bound_us", "shared_bound_us",
                  "l2_bound_us", "hbm_bound_us", "launch_bound_us"});
  append(titles, reason_titles("_sm_cycles"));
  append(titles, {"mma_useful_flops", "mma_executed_flops", "vector_flops", "sfu_ops", "shared_bytes", "l2_read_bytes",
                  "l2_written_bytes", "l2_hit_bytes", "hbm_read_bytes", "hbm_written_bytes", "ctas"});
  append(titles,
         {"idle_j", "tensor_j", "vector_j", "shared_j", "l2_j", "hbm_j", "sm_j", "links_j", "simulated_fraction"});
  std::map<std::size_t, const OperatorRow*> first_user;
  for (const OperatorRow& row : result.operators) {
    for (const std::size_t kernel : row.kernels) first_user.emplace(kernel, &row);
  }
  std::string csv = csv_line(titles);
  for (std::size_t k = 0; k < result.kernels.size(); ++k) {
    const KernelRow& row = result.kernels[k];
    const KernelResult& r = row.result;
    const auto user = first_user.find(k);
    const bool used = user != first_user.end();
    Cells cells{r.program,
                row.hash,
                used ? user->second->kind : "",
                used ? user->second->format : "",
                number(row.launches),
                us(r.time),
                us(r.time * static_cast<double>(row.launches)),
                us(r.launch),
                row.bound_by(),
                number(r.clock.count() * 1e-6),
                number(r.cycles.count())};
    append(cells, bound_cells(r.bounds));
    for (const double cycles : r.reason_cycles) cells.push_back(number(cycles));
    append(cells, work_cells(r.work));
    append(cells, energy_cells(r.energy));
    cells.push_back(number(r.simulated_fraction));
    csv += csv_line(cells);
  }
  return csv;
}

std::string utilisation_csv(const RunResult& result) {
  std::string csv = csv_line({"start_us", "end_us", "section", "repetition", "operator", "tensor", "fp32", "sfu",
                              "shared", "l2", "hbm", "clock_mhz", "power_w"});
  for (const KernelSpan& span : kernel_spans(result)) {
    const KernelResult& kernel = result.kernels[span.kernel_row].result;
    const OperatorRow& row = result.operators[span.operator_row];
    const double power = kernel.time.count() > 0 ? kernel.energy.total().count() / kernel.time.count() : 0;
    for (const UtilisationSample& s : utilisation(kernel, result.hbm_peak)) {
      const double start = span.start.count() * 1e6;
      csv += csv_line({number(start + s.start_us), number(start + s.end_us), row.section, number(span.repetition),
                       row.name, number(s.tensor), number(s.fp32), number(s.sfu), number(s.shared), number(s.l2),
                       number(s.hbm), number(kernel.clock.count() * 1e-6), number(power)});
    }
  }
  return csv;
}

}  // namespace lightcone::scenarios
