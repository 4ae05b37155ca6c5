// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "catch.h"
#include "scenarios/validate/error_report.h"
#include "scenarios/validate/error_summary.h"
#include "scenarios/validate/half.h"
#include "scenarios/validate/sample.h"
#include "scenarios/validate/timing.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {
ComparedPoint point(std::string source, double measured, double predicted) {
  return ComparedPoint{0, std::move(source), "H100", "gemm", "bf16", measured, predicted};
}
}  // namespace

TEST_CASE("error statistics follow their definitions") {
  const std::vector<ComparedPoint> points{point("s", 100, 110), point("s", 100, 80), point("s", 100, 130),
                                          point("s", 100, 100), point("s", 100, 60)};  // +.1 -.2 +.3 0 -.4
  std::vector<const ComparedPoint*> view;
  for (const ComparedPoint& p : points) view.push_back(&p);
  const ErrorStatistics statistics = error_statistics(view);
  REQUIRE(statistics.count == 5);
  REQUIRE(statistics.median_absolute == Approx(0.2));
  REQUIRE(statistics.mean_absolute == Approx(0.2));
  REQUIRE(statistics.bias == Approx(-0.04));
  REQUIRE(statistics.p90_absolute == Approx(0.36));
  REQUIRE(error_statistics({}).count == 0);
}

TEST_CASE("short points are kept apart and totals span the sources") {
  std::vector<ComparedPoint> points{point("a", 9.99, 20), point("a", 10, 11), point("b", 50, 100)};
  for (int i = 0; i < 20; ++i) points.push_back(point("b", 1000, 1000 + i));
  const std::vector<ErrorGroup> groups = group_errors(points);
  REQUIRE(groups.size() == 4);  // a, b, all sources, all of the GPU
  REQUIRE(groups[0].source == "a");
  REQUIRE(groups[0].under_10us.count == 1);
  REQUIRE(groups[0].at_least_10us.mean_absolute == Approx(0.1));
  REQUIRE(groups[1].worst.size() == kWorstPoints);
  REQUIRE(groups[1].worst.front()->measured_us == 50);
  REQUIRE(groups[2].source == "all");
  REQUIRE(groups[2].at_least_10us.count == 22);
  REQUIRE(groups[3].op == "all");
}

TEST_CASE("samples have no repeats, depend on the seed and are the same everywhere") {
  const auto sample = sample_indices(1000, 50, 1);
  REQUIRE(std::set<std::size_t>(sample.begin(), sample.end()).size() == 50);
  REQUIRE(std::is_sorted(sample.begin(), sample.end()));
  REQUIRE(sample == sample_indices(1000, 50, 1));
  REQUIRE(sample != sample_indices(1000, 50, 2));
  REQUIRE(sample_indices(3, 50, 1) == std::vector<std::size_t>{0, 1, 2});
  REQUIRE(sample_indices(0, 5, 1).empty());
}

TEST_CASE("a time contains what its convention saw") {
  hardware::LaunchSpec launch;
  launch.graph_kernel = Seconds(1e-6);
  launch.stream_kernel = Seconds(2e-6);
  launch.eager_framework = Seconds(15e-6);
  KernelResult kernel;
  kernel.time = Seconds(11e-6);
  kernel.launch = Seconds(3e-6);
  const std::vector<KernelResult> two{kernel, kernel};
  const auto us = [&](TimingConvention convention, const std::vector<KernelResult>& kernels) {
    return observed_time(convention, kernels, launch).count() * 1e6;
  };
  REQUIRE(us(TimingConvention::graph_replay, two) == Approx(22));
  REQUIRE(observed_time(TimingConvention::graph_replay, two, launch, 4).count() * 1e6 == Approx(22 + 3));  // 12 us by 4
  REQUIRE(us(TimingConvention::stream, two) == Approx(22));
  REQUIRE(us(TimingConvention::profiler, two) == Approx(20));
  REQUIRE(us(TimingConvention::eager, {kernel}) == Approx(30));  // the host is the limit
  REQUIRE(us(TimingConvention::eager, two) == Approx(33));       // 15 + 2 x 9
}

TEST_CASE("a report names its points, its gaps and its totals") {
  std::vector<MeasuredRow> rows(2);
  rows[0].point.params = {{"m", "8"}};
  rows[1].point.params = {{"m", "9"}};
  ValidationReport report;
  report.rows = &rows;
  report.rows_read = 5;
  report.rows_flagged = 2;
  report.unsupported["op \"moe\" is not supported yet"] = 1;
  report.points = {point("a", 100, 125), point("a", 5, 4)};
  report.points[1].row = 1;
  const std::string text = to_text(report);
  INFO(text);
  REQUIRE(text.find("+25.0 %") != std::string::npos);
  REQUIRE(text.find("m=9") != std::string::npos);
  REQUIRE(text.find("moe") != std::string::npos);
  REQUIRE(text.find("of 5 rows, 2 are flagged") != std::string::npos);

  const auto json = nlohmann::json::parse(to_json(report));
  REQUIRE(json["groups"][0]["at_least_10us"]["mean_absolute_percent"].get<double>() == Approx(25));
  REQUIRE(json["groups"][0]["worst_points"][0]["params"]["m"] == "8");

  const std::string table = to_error_table(report, {{"H100", "h100_sxm"}});
  REQUIRE(table.find("h100_sxm,cycle,gemm,bf16,100us_1ms,all,1,25.00,25.00") != std::string::npos);
  REQUIRE(table.find("h100_sxm,cycle,gemm,bf16,under_10us,all,1,20.00,20.00") != std::string::npos);
  report.half = MeasuredHalf::held_out;
  report.rows_other_half = 7;
  REQUIRE(to_error_table(report, {}).find("100us_1ms,held_out,1,25.00") != std::string::npos);
  REQUIRE(to_text(report).find("held_out half of the points; 7 rows of the other half left out") != std::string::npos);
}

TEST_CASE("a shape lies in the same half whoever measured it, and the halves are of one size") {
  OperatingPoint p;
  p.op = "gemm";
  int held_out = 0;
  for (int m = 1; m <= 1000; ++m) {
    p.params = {{"m", std::to_string(m)}, {"n", "4096"}, {"k", "4096"}};
    p.gpu = "H100";
    p.dtype = "bf16";
    const MeasuredHalf half = half_of(p);
    p.gpu = "A100";
    p.dtype = "int8_wo";
    p.source = "another";
    REQUIRE((half_of(p) == half && half != MeasuredHalf::all));
    held_out += half == MeasuredHalf::held_out;
  }
  REQUIRE(held_out > 450);
  REQUIRE(held_out < 550);
  // On every machine and in every version: a half that moved would leak points into the calibration.
  p.params = {{"k", "4096"}, {"m", "1"}, {"n", "4096"}};
  REQUIRE(name(half_of(p)) == "held_out");
  p.params["m"] = "2";
  REQUIRE(name(half_of(p)) == "calibration");
}
