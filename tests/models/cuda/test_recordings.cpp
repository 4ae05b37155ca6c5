// SPDX-License-Identifier: Apache-2.0
// Recordings of GPU runs: written and read back, and found wrong for every reason there is. The GPU is played by the
// reference itself, rounded to the format of the output.
#include <algorithm>
#include <cmath>
#include <fstream>

#include "catch.h"
#include "models/cuda/kernels/primitives.h"
#include "models/cuda/record/compare.h"
#include "models/cuda/record/recording.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::models::cuda;

namespace {

// One primitive's cases: all would take seconds.
void record(Recording& recording, std::string_view name, const PrimitiveCases& cases) {
  for (const auto* list : {&cases.small, &cases.large}) {
    for (const Sizes& sizes : *list) {
      CaseRecord& c = recording.cases.emplace_back(CaseRecord{std::string(name), sizes, {}});
      const Problem problem = cases.problem(sizes, recording.seed);
      const auto truth = cases.truth(sizes, make_inputs(cases, sizes, recording.seed));
      for (std::size_t i = 0; i < truth.size(); ++i) {
        c.outputs.push_back(record_output(problem.outputs[i], pack(problem.outputs[i].element, truth[i]), truth[i]));
      }
    }
  }
}

const Recording& ampere() {
  static const Recording recording = [] {
    Recording r{"NVIDIA A100-SXM4-80GB", "A100-SXM-80GB", "8.0", "570.1", "13.0", 1410, "2026-01-02T03:04:05Z", 7, {}};
    for (const PrimitiveCases& cases : all_cases()) record(r, cases.name, cases);
    for (const Variant& variant : variants()) {
      if (variant.name != "gemm_wgmma") record(r, variant.name, cases_of(variant.cases_of));
    }
    return r;
  }();
  return recording;
}

bool holds(const std::vector<std::string>& faults, const std::string& part) {
  return std::any_of(faults.begin(), faults.end(),
                     [&](const std::string& fault) { return fault.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("a recording of everything stands, and survives its file") {
  REQUIRE(recheck(ampere()).empty());
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "check_A100.json";
  write_recording(ampere(), file);
  CHECK(std::filesystem::file_size(file) < 5'000'000);
  const Recording again = read_recording(file);
  CHECK(again.device == ampere().device);
  CHECK(again.seed == ampere().seed);
  REQUIRE(again.cases.size() == ampere().cases.size());
  CHECK(again.cases.back().outputs.back().values == ampere().cases.back().outputs.back().values);
  CHECK(recheck(again).empty());
  CHECK(recordings_in(folder.path()) == std::vector{file});
  CHECK(not_recorded({again}) == std::vector<std::string>{"gemm_wgmma"});
  CHECK(worst_errors(again).at("gemm") < 3e-3);
}

TEST_CASE("a recording falls when something is missing, the reference changed, or values are wrong") {
  Recording missing = ampere();
  missing.cases.erase(missing.cases.begin());
  CHECK(recheck(missing) == std::vector<std::string>{"gemm {k: 1, m: 1, n: 1}: is missing"});

  Recording changed = ampere();
  OutputRecord& first = changed.cases[2].outputs[0];
  first.truth_norm *= 1 + 1e-5;
  CHECK(holds(recheck(changed), "the reference has changed"));
  first = ampere().cases[2].outputs[0];
  first.truth_signed += 1e-3 * first.truth_norm;  // a permutation keeps the norm
  CHECK(holds(recheck(changed), "the reference has changed"));

  Recording wrong = ampere();
  for (double& value : wrong.cases[2].outputs[0].values) value *= 1.1;
  CHECK(holds(recheck(wrong), "disagree with the reference of today"));
  wrong = ampere();
  wrong.cases[2].outputs[0].error = 0.5;
  CHECK(holds(recheck(wrong), "above the tolerance"));

  Recording hopper = ampere();  // there, wgmma is asked for
  hopper.compute_capability = "9.0";
  CHECK(holds(recheck(hopper), "gemm_wgmma"));
}

TEST_CASE("outputs are recorded in full when small, by samples when large, and never without a digest") {
  const OutputSpec small{"y", Element::fp32, 3, 1e-6}, large{"y", Element::fp32, 1000, 1e-6};
  const Values truth{1, -2, 4};
  const OutputRecord record = record_output(small, pack(Element::fp32, truth), truth);
  CHECK(record.values == truth);
  CHECK(record.every == 1);
  CHECK(record.error == 0);
  CHECK(record.truth_norm == Approx(std::sqrt(21.0)));
  const Values ones(1000, 1);
  const OutputRecord sample = record_output(large, pack(Element::fp32, ones), ones);
  CHECK(sample.every == 4);
  CHECK(sample.values.size() == 250);
  CHECK(sample.digest.size() == 32);
  CHECK(sample.digest != record.digest);
}

TEST_CASE("poison, zeros and lengths in comparisons") {
  const std::vector<unsigned char> poisoned(8, kPoison);
  CHECK(relative_norm(unpack(Element::fp32, poisoned), {1, 1}) == INFINITY);
  CHECK(relative_norm(unpack(Element::bf16, poisoned), {1, 1, 1, 1}) == INFINITY);
  CHECK(relative_norm({0, 0}, {0, 0}) == 0);
  CHECK(relative_norm({0, 1}, {0, 0}) == INFINITY);
  CHECK(relative_norm({0}, {0, 0}) == INFINITY);
  CHECK(relative_norm({3, 4.5}, {3, 4}) == Approx(0.1));
}

TEST_CASE("values keep their format through bytes") {
  for (const Element element : {Element::bf16, Element::fp32, Element::int32, Element::int8, Element::e4m3}) {
    const Values values{0, 1, -2, 96, -120};
    CHECK(unpack(element, pack(element, values)) == values);
  }
  CHECK(unpack(Element::bf16, pack(Element::bf16, {1.00390625})) == Values{1});         // a tie, to even
  CHECK(unpack(Element::bf16, pack(Element::bf16, {1.01171875})) == Values{1.015625});  // a tie, to even
}

TEST_CASE("what is no recording is said with its file") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "check_x.json";
  for (const char* text : {"", "[]", "{\"device\": 3}"}) {
    std::ofstream(file) << text;
    CHECK_THROWS_AS(read_recording(file), ConfigError);
  }
}
