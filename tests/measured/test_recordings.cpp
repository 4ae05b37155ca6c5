// SPDX-License-Identifier: Apache-2.0
// The recordings that `lightcone-gpu check` left in this folder against the reference of today: which GPU computed
// what, how well, and how long ago. A primitive that no GPU has computed is named.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <set>

#include "catch.h"
#include "models/cuda/kernels/primitives.h"
#include "models/cuda/record/recording.h"

using namespace lightcone::models::cuda;

namespace {

std::vector<Recording> recordings() {
  std::vector<Recording> list;
  for (const auto& file : recordings_in(std::filesystem::path(LIGHTCONE_SOURCE_DIR) / "tests/measured")) {
    list.push_back(read_recording(file));
  }
  return list;
}

int age_in_days(const Recording& recording) {
  std::tm parts{};
  REQUIRE(strptime(recording.date.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) != nullptr);
  const double seconds = std::difftime(std::time(nullptr), timegm(&parts));
  return static_cast<int>(seconds / 86400);
}

}  // namespace

TEST_CASE("recordings of GPUs stand against the reference of today") {
  for (const Recording& recording : recordings()) {
    fmt::print("recorded on {} (driver {}, CUDA {}), {} days ago\n", recording.device, recording.driver,
               recording.toolkit, age_in_days(recording));
    for (const auto& [primitive, error] : worst_errors(recording)) fmt::print("  {:<24} {:.2e}\n", primitive, error);
    const std::vector<std::string> faults = recheck(recording);
    INFO(recording.device);
    CAPTURE(faults);
    CHECK(faults.empty());
  }
}

TEST_CASE("every primitive is recorded, or named as not recorded") {
  const std::vector<std::string> missing = not_recorded(recordings());
  for (const std::string& name : missing) fmt::print("not recorded: {}\n", name);
  const std::size_t all = all_cases().size() + variants().size();
  fmt::print("recorded: {} of {} primitives and variants, not recorded: {}\n", all - missing.size(), all,
             missing.size());
  std::fflush(stdout);
  std::set<std::string> recorded;
  for (const Recording& recording : recordings()) {
    for (const CaseRecord& c : recording.cases) recorded.insert(c.primitive);
  }
  CHECK(recorded.size() + missing.size() == all);  // none is in both, and none in neither
}
