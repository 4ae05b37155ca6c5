// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/parts/hbm_presets.h"
#include "hardware/spec/load.h"
#include "hardware/spec/sources.h"
#include "hardware/spec/spec_hash.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::hardware;
using lightcone::test::TemporaryFolder;

namespace {

class MachineFile {
 public:
  explicit MachineFile(const std::string& text) : path_((folder_.path() / "machine.textproto").string()) {
    std::ofstream(path_) << text;
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

MachineSpec derived(const std::string& gpu_fields) {
  return load_machine(MachineFile("base: \"h100_sxm\"\ngpu {\n" + gpu_fields + "\n}\n").path());
}

std::vector<Diagnostic> faults_of(const std::string& text) {
  const MachineFile file(text);
  try {
    load_machine(file.path());
  } catch (const ConfigError& error) {
    return error.diagnostics();
  }
  return {};
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string source_of(const GpuSpec& gpu, const std::string& path) {
  for (const ParameterSource& source : gpu.sources) {
    if (source.path == path) return source.source;
  }
  return "no such parameter";
}

// Load-to-use latency of a chase through HBM, in SM clocks: near L2, controller, then an activated row read.
double chase_clocks(const GpuSpec& gpu) {
  const double near_l2 = gpu.sm.l1_latency.real() + gpu.noc.request_latency.real() + gpu.l2.hit_latency.real() +
                         gpu.noc.response_latency.real();
  const HbmTiming& t = gpu.hbm.timing;
  const double dram_ps = t.tCK.real() * (t.nRCDRD + t.nCL + t.nBL);
  return near_l2 + (dram_ps + gpu.hbm.controller_latency.real()) * 1e-12 * gpu.clock.boost.real();
}

}  // namespace

TEST_CASE("the machines of the catalog load with a source for every value") {
  const std::vector<std::string> names = list_machines();
  for (const char* name : {"a100_sxm_80gb", "h100_sxm", "h200_sxm", "b200_sxm", "l40s"})
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  for (const std::string& name : names) {
    CAPTURE(name);
    const MachineSpec machine = load_machine(name);
    CHECK(machine.name == name);
    CHECK(machine.gpu.sources.size() > 90);
    for (const ParameterSource& source : machine.gpu.sources) {
      CAPTURE(source.path);
      CHECK(source.source != kNoSource);
    }
  }
}

TEST_CASE("peaks of the catalog machines equal the published ones") {
  const GpuSpec h100 = load_machine("h100_sxm").gpu;
  const GpuSpec a100 = load_machine("a100_sxm_80gb").gpu;
  const auto flops = [](const GpuSpec& gpu, double hertz) {
    return gpu.sm_count * gpu.sm.tensor.flops_per_clock.at(NumberFormat::bf16) * hertz;
  };
  CHECK(flops(h100, 1.83e9) == Approx(989.4e12).epsilon(1e-3));  // the clock at which NVIDIA quotes it
  CHECK(flops(a100, a100.clock.boost.real()) == Approx(312e12).epsilon(1e-3));
  CHECK(h100.hbm.peak().real() == Approx(3350e9).epsilon(1e-3));
  CHECK(a100.hbm.peak().real() == Approx(2039e9).epsilon(1e-3));
  CHECK(h100.hbm.capacity.count() == std::uint64_t{80} << 30);
  CHECK(a100.hbm.capacity.count() == std::uint64_t{80} << 30);
  CHECK(h100.sm.tensor.generation == TensorCoreGeneration::wgmma);
  CHECK(a100.sm.tensor.generation == TensorCoreGeneration::mma_sync);
  CHECK(h100.aliases == std::vector<std::string>{"H100-SXM-80GB"});
}

TEST_CASE("latencies of the parts add up to the measured pointer chase") {
  // Mean of lines near and far: a far one passes a second slice and the link between the partitions twice. What the
  // simulated chase takes beyond that (test_microbenchmarks) is issue, refresh and row conflicts.
  const auto mean_clocks = [](const GpuSpec& gpu) {
    return chase_clocks(gpu) + gpu.noc.far_latency.real() + gpu.l2.hit_latency.real() / 2;
  };
  CHECK(std::abs(mean_clocks(load_machine("h100_sxm").gpu) - (628 - 18)) < 3);       // 10 ns
  CHECK(std::abs(mean_clocks(load_machine("a100_sxm_80gb").gpu) - (552 - 31)) < 3);  // 22 ns
}

TEST_CASE("HBM timing of the catalog is that of the scaled presets") {
  const auto check = [](const HbmSpec& hbm, const HbmTiming& preset) {
    CHECK(std::abs(hbm.timing.tCK.real() - preset.tCK.real()) <= 1);  // rounded up against rounded
    for (std::uint32_t HbmTiming::*field :
         {&HbmTiming::nBL, &HbmTiming::nCL, &HbmTiming::nCWL, &HbmTiming::nRCDRD, &HbmTiming::nRCDWR, &HbmTiming::nRP,
          &HbmTiming::nRAS, &HbmTiming::nRC, &HbmTiming::nWR, &HbmTiming::nRTP, &HbmTiming::nCCDS, &HbmTiming::nCCDL,
          &HbmTiming::nRRDS, &HbmTiming::nRRDL, &HbmTiming::nFAW, &HbmTiming::nWTRS, &HbmTiming::nWTRL,
          &HbmTiming::nRTW}) {
      const auto difference = static_cast<int>(hbm.timing.*field) - static_cast<int>(preset.*field);
      CHECK(std::abs(difference) <= 1);
    }
    CHECK(hbm.timing.nRFC == Approx(preset.nRFC).epsilon(0.002));
    CHECK(hbm.timing.nREFI == Approx(preset.nREFI).epsilon(0.002));
  };
  const HbmSpec hbm3 = load_machine("h100_sxm").gpu.hbm;
  const HbmSpec hbm2e = load_machine("a100_sxm_80gb").gpu.hbm;
  check(hbm3, scaled(kHbm3Preset.timing, hbm3.gigabits_per_second_per_pin, kHbm3BitsPerClock));
  check(hbm2e, with_density(scaled(kHbm2Preset.timing, hbm2e.gigabits_per_second_per_pin, kHbm2BitsPerClock),
                            kHbm2RefreshTimes, 8));
}

TEST_CASE("a misspelled field is refused at its line and column, with the name that was meant") {
  const auto faults = faults_of("base: \"h100_sxm\"\ngpu {\n  l2 { capacity_byte: 1 }\n}\n");
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].where.line == 3);
  CHECK(faults[0].where.column == 8);
  CHECK(holds(faults[0].text(), "machine.textproto:3:8"));
  CHECK(holds(faults[0].text(), "capacity_bytes"));
}

TEST_CASE("an unknown machine or number format is refused with a suggestion") {
  try {
    load_machine("h100_sxn");
    FAIL("loaded");
  } catch (const ConfigError& error) {
    CHECK(holds(error.what(), "did you mean \"h100_sxm\""));
  }
  const auto faults =
      faults_of("base: \"h100_sxm\"\ngpu { sm { tensor {\n  rate { name: \"bf61\" flops_per_clock: 4096 }\n} } }\n");
  REQUIRE(!faults.empty());
  CHECK(faults[0].where.line == 3);
  CHECK(holds(faults[0].text(), "bf16"));
}

TEST_CASE("impossible values are refused, all of them at once, each at its line") {
  const auto faults = faults_of(
      "base: \"h100_sxm\"\ngpu {\n  sm_count: 0\n  clock { minimum_ghz: 3 }\n  l2 { slices: 81 }\n"
      "  power { idle_watts: 800 }\n}\n");
  const auto at = [&](int line, const std::string& field) {
    return std::any_of(faults.begin(), faults.end(),
                       [&](const Diagnostic& fault) { return fault.where.line == line && holds(fault.field, field); });
  };
  CHECK(at(3, "gpu.sm_count"));
  CHECK(at(4, "gpu.clock.minimum_ghz"));
  CHECK(at(5, "gpu.l2.slices"));
  CHECK(at(6, "gpu.power.idle_watts"));
}

TEST_CASE("a machine without a base must give every value") {
  const auto faults = faults_of("name: \"bare\"\ngpu { name: \"bare\" sm_count: 1 }\n");
  CHECK(std::any_of(faults.begin(), faults.end(), [](const Diagnostic& fault) {
    return fault.field == "gpu.hbm" && holds(fault.message, "is missing");
  }));
}

TEST_CASE("a derived machine changes what it names, and says where the value was set") {
  const GpuSpec base = load_machine("h100_sxm").gpu;
  const GpuSpec changed = derived("  l2 { hit_latency_clocks: 120 }").gpu;
  CHECK(changed.l2.hit_latency == Cycles(120));
  CHECK(changed.l2.capacity == base.l2.capacity);
  CHECK(holds(source_of(changed, "l2.hit_latency_clocks"), "machine.textproto:3"));
  CHECK(source_of(changed, "l2.capacity_bytes") == source_of(base, "l2.capacity_bytes"));
  const GpuSpec cited =
      derived("  l2 { hit_latency_clocks: 120 source { name: \"hit_latency_clocks\" text: \"assumed: what if\" } }")
          .gpu;
  CHECK(source_of(cited, "l2.hit_latency_clocks") == "assumed: what if");
}

TEST_CASE("the spec hash changes with any one value, and with nothing else") {
  const std::string base = spec_hash(load_machine("h100_sxm").gpu);
  CHECK(spec_hash(load_machine("h100_sxm").gpu) == base);
  CHECK(spec_hash(load_machine("a100_sxm_80gb").gpu) != base);
  CHECK(spec_hash(derived("  name: \"another name\" aliases: \"other\"").gpu) == base);
  for (const std::string change :
       {"sm_count: 131", "clock { boost_ghz: 1.756 }", "sm { tensor { issue_efficiency: 0.5 } }",
        "sm { tensor { rate { name: \"int8\" flops_per_clock: 8191 } } }", "sm { copy { tma: false } }",
        "noc { far_latency_clocks: 107 }", "l2 { mshrs_per_slice: 255 }", "hbm { queue_depth: 63 }",
        "hbm { timing { faw_ns: 30 } }", "launch { kernel_end_clocks: 301 }",
        "power { tensor { name: \"bf16\" pj_per_flop: 0.5 } }", "power { voltage_exponent: 0.5 }"}) {
    CAPTURE(change);
    CHECK(spec_hash(derived(change).gpu) != base);
  }
}
