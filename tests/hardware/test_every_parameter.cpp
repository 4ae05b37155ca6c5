// SPDX-License-Identifier: Apache-2.0
// Over every number of the catalog's machines, those of later schemas included: any value either simulates or is
// refused with its field, its place and what is allowed; and no number is dead, changing it changes some kernel.
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "catch.h"
#include "hardware/catalog_machine.h"
#include "hardware/machine/evaluate.h"
#include "hardware/microbenchmarks.h"
#include "scenarios/mapping/map_operator.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::hardware::testing;
using namespace lightcone::models;

namespace {

// A seventh of the machine: whole kernels are played in milliseconds.
CatalogMachine small(const std::string& name) {
  CatalogMachine machine(name);
  machine.set("gpu.sm_count", "18");
  machine.set("gpu.l2.slices", "10");
  machine.set("gpu.l2.capacity_bytes", "5242880");
  machine.set("gpu.hbm.stacks", "1");
  machine.set("gpu.noc.partition_link_bytes_per_clock", "300");
  return machine;
}

// The value times a factor, or plus one for factor 0, in the field's own kind.
std::string changed(const std::string& value, double factor) {
  if (is_whole(value)) {
    const auto number = std::stoull(value);
    return std::to_string(factor == 0 ? number + 1 : static_cast<std::uint64_t>(static_cast<double>(number) * factor));
  }
  return fmt::format("{}", factor == 0 ? std::stod(value) + 1 : std::stod(value) * factor);
}

struct Outcome {
  double time = 0, energy = 0;
  bool operator==(const Outcome&) const = default;
};

// The kernel played in a child process. Nothing when the child failed; a ConfigError in it (a kernel that this GPU
// cannot hold) is an answer, without figures.
std::optional<Outcome> play(const TileProgram& kernel, const GpuSpec& gpu, LaunchMode launch = LaunchMode::graph) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    Outcome out;
    try {
      const KernelResult r = evaluate_cycle(kernel, gpu, {launch, false, 0.01, false});
      out = {r.time.count(), r.energy.total().count()};
    } catch (const ConfigError&) {
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}: {}\n", kernel.name, error.what());
      _exit(1);
    }
    _exit(write(ends[1], &out, sizeof out) == sizeof out ? 0 : 1);
  }
  close(ends[1]);
  Outcome out;
  const ssize_t n = read(ends[0], &out, sizeof out);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0 || n != sizeof out) return std::nullopt;
  return out;
}

// The kernels of all operators; none where a ConfigError says that this GPU has none.
std::vector<TileProgram> kernels_of(const std::vector<Operator>& operators, const GpuSpec& gpu) {
  std::vector<TileProgram> kernels;
  try {
    for (const Operator& op : operators) {
      for (TileProgram& kernel : scenarios::map_operator(op, gpu).kernels) kernels.push_back(std::move(kernel));
    }
  } catch (const ConfigError&) {
    kernels.clear();
  }
  return kernels;
}

const std::vector<Operator>& tiny_operators() {
  static const std::vector<Operator> list{
      Gemm{200, 264, 136},
      Elementwise{ElementwiseKind::add, 40000},
      Attention{1, 2, 1, 130, 130, 64},
  };
  return list;
}

// Reads the same 64 KiB `turns` times over: all but the first time from the L1.
TileProgram cached_read(const GpuSpec& gpu, std::int64_t turns) {
  TileProgram p;
  p.name = "cached_read";
  p.tensors = {{"buffer", 64_KiB, Residency::warm, false}};
  CtaClass c;
  c.name = "reader";
  for (std::uint64_t group = 0; group < 8; ++group) {
    Box box;
    box.tensor = 0;
    box.row_extent = 1;
    box.row_bytes = 8192;
    box.first_column_byte = group * box.row_bytes;
    box.row_pitch_bytes = box.column_extent_bytes = 65536;
    c.roles.push_back({"warps", 4, {LoopBegin{0}, GlobalLoad{box}, WaitLoads{}, LoopEnd{}}});
  }
  p.classes = {c};
  CtaGroup g;
  g.extent = {gpu.sm_count, 1, 1, 1};
  g.loops[0] = {0, turns};
  p.groups = {g};
  p.threads_per_cta = 1024;
  p.registers_per_thread = 16;
  return p;
}

// Kernels of the unchanged machine that between them lean on every part of it, those that say most first.
std::vector<TileProgram> telling_kernels(const GpuSpec& gpu) {
  std::vector<Operator> operators{
      Gemm{200, 264, 136},   Elementwise{ElementwiseKind::silu_mul, 400000}, Attention{1, 4, 2, 256, 256, 128},
      Gemm{200, 264, 4096},  Elementwise{ElementwiseKind::add, 3000000},     Attention{4, 4, 2, 1, 1024, 128},
      Gemm{1024, 1024, 512},
  };
  if (gpu.sm.tensor.has(NumberFormat::fp8_e4m3)) {  // atomics on one address
    operators.push_back(
        Elementwise{ElementwiseKind::quantize, 61440, NumberFormat::bf16, NumberFormat::fp8_e4m3, 256, true});
  }
  std::vector<TileProgram> kernels = kernels_of(operators, gpu);
  if (gpu.sm.shared_memory_per_cta > 64_KiB) REQUIRE(kernels.size() >= operators.size());
  kernels.push_back(cached_read(gpu, 40));
  kernels.push_back(pointer_chase(400, 4096 + 256, 2));
  kernels.push_back(short_ctas(gpu, 32, 3, true));
  kernels.push_back(streaming_read(gpu, 30, 1, Residency::cold));
  return kernels;
}

// What governs the clock shows only where a kernel would draw more than the limit, what a stream costs only in one.
struct Setting {
  std::string limit_watts = "100000";
  std::string shared_memory_per_cta;  // of small CTAs, so that their number follows the SM's shared memory
  LaunchMode launch = LaunchMode::graph;
};
Setting setting_for(const std::string& path) {
  Setting setting;
  if (path == "gpu.clock.minimum_ghz" || path == "gpu.power.limit_watts") setting.limit_watts = "80";
  if (path == "gpu.launch.stream_kernel_us") setting.launch = LaunchMode::stream;
  if (path == "gpu.sm.shared_memory_bytes") setting.shared_memory_per_cta = "32768";
  return setting;
}

CatalogMachine small(const std::string& name, const Setting& setting) {
  CatalogMachine machine = small(name);
  machine.set("gpu.power.limit_watts", setting.limit_watts);
  const std::string& per_cta = setting.shared_memory_per_cta;
  if (!per_cta.empty()) machine.set("gpu.sm.shared_memory_per_cta_bytes", per_cta);
  return machine;
}

// Whether some other value of the parameter changes what the machine says of some kernel.
bool matters(const std::string& name, const std::string& path) {
  const Setting setting = setting_for(path);
  const CatalogMachine base = small(name, setting);
  const GpuSpec gpu = base.gpu();
  const std::string value = base.get(path);
  std::vector<GpuSpec> others;
  const auto add = [&](const std::string& other) {
    CatalogMachine machine = small(name, setting);
    try {
      machine.set(path, other);
      others.push_back(machine.gpu());
    } catch (const ConfigError&) {
    }
  };
  if (value == "true" || value == "false") add(value == "true" ? "false" : "true");
  if (value == "0") add("1");
  for (const double factor : {0.5, 4.0, 1.0 / 16, 2.0, 1.0 / 64}) {
    if (is_number(value)) add(changed(value, factor));
  }
  for (const TileProgram& kernel : telling_kernels(gpu)) {
    const auto before = play(kernel, gpu, setting.launch);
    REQUIRE(before);
    for (const GpuSpec& other : others) {
      const auto after = play(kernel, other, setting.launch);
      INFO(path << " " << kernel.name);
      REQUIRE(after);
      if (!(*after == *before)) return true;
    }
  }
  return false;
}

void check_values(const std::string& name, const std::vector<double>& factors) {
  const CatalogMachine base = small(name);
  for (const std::string& path : base.parameters()) {
    const std::string value = base.get(path);
    if (!is_number(value)) continue;
    for (const double factor : factors) {
      const std::string fresh = changed(value, factor);
      if (fresh == value) continue;
      CAPTURE(name, path, value, fresh);
      CatalogMachine machine = small(name);
      GpuSpec gpu;
      try {
        machine.set(path, fresh);
        gpu = machine.gpu();
      } catch (const ConfigError& error) {
        REQUIRE_FALSE(error.diagnostics().empty());
        for (const Diagnostic& fault : error.diagnostics()) {
          INFO(fault.text());
          CHECK(fault.field.rfind("gpu.", 0) == 0);
          CHECK_FALSE(fault.where.file.empty());
          CHECK((fault.message.find("must") != std::string::npos ||
                 fault.message.find("at most") != std::string::npos ||
                 fault.message.find("divide") != std::string::npos || fault.message.find("only") != std::string::npos));
        }
        continue;
      }
      for (const TileProgram& kernel : kernels_of(tiny_operators(), gpu)) {
        const auto out = play(kernel, gpu);
        INFO(kernel.name);
        CHECK((out && std::isfinite(out->time) && std::isfinite(out->energy)));
      }
    }
  }
}

}  // namespace

TEST_CASE("any value of an H100's numbers simulates or is refused in words") {
  check_values("h100_sxm", {0, 1.0 / 3, 3});
}

TEST_CASE("any value of an A100's numbers simulates or is refused in words") {
  check_values("a100_sxm_80gb", {0, 1.0 / 3, 2});
}

namespace {

// Changing the parameter changes the time or the energy of some kernel; all whose path begins so.
void check_none_dead(const std::string& beginning) {
  const std::map<std::string, std::string> exceptions{
      {"gpu.hbm.capacity_bytes_per_stack", "decides whether a model fits, not how fast it runs"},
      {"gpu.launch.eager_framework_us",
       "time of the host's framework; added outside the machine, to measured rows only"},
      {"gpu.l2.line_bytes", "has one value that is modelled"},
      {"gpu.l2.sector_bytes", "has one value that is modelled"},
  };
  for (const std::string& path : CatalogMachine("h100_sxm").parameters()) {
    const std::string value = CatalogMachine("h100_sxm").get(path);
    if (path.rfind(beginning, 0) != 0) continue;
    if (!is_number(value) && value != "true" && value != "false") continue;
    INFO(path);
    CHECK((matters("h100_sxm", path) || matters("a100_sxm_80gb", path)) != (exceptions.count(path) > 0));
  }
}

}  // namespace

TEST_CASE("no number of the SM is dead") { check_none_dead("gpu.sm"); }
TEST_CASE("no number of the memory is dead") { check_none_dead("gpu.hbm"); }
TEST_CASE("no number of the caches is dead") {
  check_none_dead("gpu.noc");
  check_none_dead("gpu.l2");
}
TEST_CASE("no number of clock, launch and power is dead") {
  check_none_dead("gpu.clock");
  check_none_dead("gpu.launch");
  check_none_dead("gpu.power");
}

TEST_CASE("values that the parts cannot play are refused at their line, with what is allowed") {
  const std::map<std::string, std::pair<std::string, std::string>> refused{
      {"gpu.hbm.bank_groups", {"3", "power of two"}},   {"gpu.hbm.banks_per_group", {"5", "power of two"}},
      {"gpu.hbm.page_bytes", {"1536", "power of two"}}, {"gpu.hbm.access_bytes", {"48", "power of two"}},
      {"gpu.l2.line_bytes", {"64", "must be 128"}},     {"gpu.l2.sector_bytes", {"64", "must be 32"}},
      {"gpu.l2.partitions", {"4", "from 1 to 2"}},      {"gpu.l2.interleave_bytes", {"384", "times a power of two"}},
      {"gpu.l2.mshrs_per_slice", {"1", "at least 2"}},  {"gpu.l2.ways", {"32", "from 1 to 16"}},
      {"gpu.sm.sub_partitions", {"9", "from 1 to 8"}},
  };
  for (const auto& [path, what] : refused) {
    CatalogMachine machine("h100_sxm");
    CAPTURE(path, what.first);
    try {
      machine.set(path, what.first);
      static_cast<void>(machine.gpu());
      FAIL_CHECK("accepted");
    } catch (const ConfigError& error) {
      const auto& faults = error.diagnostics();
      CHECK(std::any_of(faults.begin(), faults.end(), [&, &path = path, &what = what](const Diagnostic& fault) {
        return fault.field == path && fault.message.find(what.second) != std::string::npos;
      }));
    }
  }
}
