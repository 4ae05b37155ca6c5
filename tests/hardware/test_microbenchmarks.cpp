// SPDX-License-Identifier: Apache-2.0
// The catalog's machines under the memory microbenchmarks by which GPUs are measured, at cycle fidelity: the order and
// the limits that hold by construction, and, where measurements are at hand, the published figures.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "hardware/microbenchmarks.h"
#include "hardware/simulated.h"
#include "hardware/spec/load.h"
#include "sim/base/csv.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::hardware::testing;

namespace {

GpuSpec h100() { return load_machine("h100_sxm").gpu; }
GpuSpec a100() { return load_machine("a100_sxm_80gb").gpu; }

double cycles(const TileProgram& program, const GpuSpec& gpu) {
  const auto result = simulate(program, gpu, exact());
  REQUIRE(result);
  return result->cycles.real();
}

// Cycles of one load of a chase over `bytes`, each line once per pass, when earlier passes have filled the caches.
double cached_latency(const GpuSpec& gpu, Bytes bytes) {
  const std::uint64_t lines = bytes.count() / 128;
  return (cycles(pointer_chase(lines, 128, 2), gpu) - cycles(pointer_chase(lines, 128, 1), gpu)) /
         static_cast<double>(lines);
}

// Of lines that no cache holds, in an order that finds few open rows.
double memory_latency(const GpuSpec& gpu) {
  constexpr std::uint64_t kLines = 16384, kStride = 33 * 128;
  return (cycles(pointer_chase(2 * kLines, kStride, 1), gpu) - cycles(pointer_chase(kLines, kStride, 1), gpu)) / kLines;
}

struct Latencies {
  double l1, near, far, memory;
};
// `far`: of a footprint between one partition and the whole L2, where half of the lines come from the other partition
// and half from memory.
Latencies latencies(const GpuSpec& gpu) {
  const std::uint64_t partition = gpu.l2.capacity.count() / gpu.l2.partitions;
  return {cached_latency(gpu, 64_KiB), cached_latency(gpu, 8_MiB), cached_latency(gpu, Bytes(partition * 3 / 2)),
          memory_latency(gpu)};
}

// Steady rates of all SMs reading, in bytes per SM clock: of twice so many turns of the grid less so many.
struct ReadRate {
  double loaded, l2, hbm;
};
ReadRate read_rate(const GpuSpec& gpu, std::uint32_t chunks, std::uint32_t turns, Residency residency) {
  const TileProgram shorter = streaming_read(gpu, chunks, turns, residency);
  const TileProgram longer = streaming_read(gpu, chunks, 2 * turns, residency);
  const auto a = simulate(shorter, gpu, exact()), b = simulate(longer, gpu, exact());
  REQUIRE(a);
  REQUIRE(b);
  const double took = b->cycles.real() - a->cycles.real();
  return {(totals(longer).loaded.real() - totals(shorter).loaded.real()) / took,
          (b->work.l2_read.real() - a->work.l2_read.real()) / took,
          (b->work.hbm_read.real() - a->work.hbm_read.real()) / took};
}
// Of a buffer of 12 MiB, which fits one partition, and of one that is far larger than the L2.
ReadRate l2_rate(const GpuSpec& gpu) { return read_rate(gpu, 24, 2, Residency::warm); }
ReadRate memory_rate(const GpuSpec& gpu) { return read_rate(gpu, 2 * gpu.sm_count, 1, Residency::cold); }

// Cycles per second of these kernels: they leave the tensor cores idle.
double light_clock(const GpuSpec& gpu) { return std::max(gpu.clock.maximum, gpu.clock.boost).count(); }

// Nanoseconds from the start of a CTA of 16 threads to the start of the next in its place.
double turnover(const GpuSpec& gpu, bool write) {
  const double more = cycles(short_ctas(gpu, 16, 96, write), gpu) - cycles(short_ctas(gpu, 16, 32, write), gpu);
  return more / 64 / light_clock(gpu) * 1e9;
}

// Means of measured values in $LIGHTCONE_MEASURED/FILE; nothing, with a warning, where there is no such file.
class Measured {
 public:
  explicit Measured(const std::string& file) {
    const char* folder = std::getenv("LIGHTCONE_MEASURED");  // NOLINT: single-threaded
    if (folder == nullptr) return;
    const std::filesystem::path path = std::filesystem::path(folder) / file;
    std::ifstream in(path);
    if (!in) return;
    CsvReader reader(in, path.string());
    const auto cell = [&](const CsvRow& row, const char* title) { return row.cells[reader.required_column(title)]; };
    while (const auto row = reader.next()) {
      const std::string value = cell(*row, "value"), time = cell(*row, "time_us");
      if (value.empty()) continue;
      rows_.push_back({cell(*row, "gpu"), cell(*row, "op"), nlohmann::json::parse(cell(*row, "params")),
                       std::stod(value), time.empty() ? 0 : std::stod(time)});
    }
  }
  [[nodiscard]] bool found() const {
    if (rows_.empty()) WARN("SKIP: no measurements; LIGHTCONE_MEASURED names no folder that holds them");
    return !rows_.empty();
  }
  // Over footprints from `low` to `high` bytes.
  [[nodiscard]] double mean(const std::string& gpu, const std::string& op, double low, double high) const {
    double sum = 0;
    int count = 0;
    for (const Row& row : rows_) {
      if (row.gpu != gpu || row.op != op) continue;
      const double bytes = row.params.value("bytes", 0.0);
      if (bytes < low || bytes > high) continue;
      sum += row.value;
      ++count;
    }
    INFO(gpu << " " << op << ", " << low << " to " << high << " bytes");
    REQUIRE(count > 0);
    return sum / count;
  }
  // Of the row with these parameters.
  [[nodiscard]] double value(const std::string& gpu, const std::string& op, const nlohmann::json& params) const {
    for (const Row& row : rows_) {
      if (row.gpu == gpu && row.op == op && row.params == params) return row.value;
    }
    FAIL("no row " << gpu << " " << op << " " << params.dump());
    return 0;
  }
  // Microseconds of the shortest run launched so.
  [[nodiscard]] double shortest(const std::string& gpu, const std::string& op, const std::string& launch) const {
    double least = 1e9;
    for (const Row& row : rows_) {
      if (row.gpu == gpu && row.op == op && row.params.value("launch", "") == launch) least = std::min(least, row.time);
    }
    REQUIRE(least < 1e9);
    return least;
  }

 private:
  struct Row {
    std::string gpu, op;
    nlohmann::json params;
    double value, time;
  };
  std::vector<Row> rows_;
};

void require_near(double simulated, double measured, double tolerance) {
  INFO("simulated " << simulated << ", measured " << measured);
  REQUIRE(std::abs(simulated / measured - 1) < tolerance);
}

}  // namespace

TEST_CASE("pointer chase: every level of the memory is farther than the one ahead of it, by what the parts add") {
  for (const GpuSpec& gpu : {h100(), a100()}) {
    INFO(gpu.name);
    const Latencies l = latencies(gpu);
    REQUIRE(l.l1 < l.near);
    REQUIRE(l.near < l.far);
    REQUIRE(l.far < l.memory);
    // Issue and wake-up take two cycles; where a fraction is rounded up, one more.
    const double to_slice = (gpu.noc.request_latency + gpu.l2.hit_latency + gpu.noc.response_latency).real();
    REQUIRE(l.l1 - gpu.sm.l1_latency.real() == Approx(2).margin(1));
    REQUIRE(l.near - l.l1 - to_slice == Approx(0).margin(6));
  }
}

TEST_CASE("all SMs reading: near the rated bandwidth of L2 and HBM, never above") {
  for (const GpuSpec& gpu : {h100(), a100()}) {
    INFO(gpu.name);
    const double slices = gpu.l2.slices * gpu.l2.slice_bytes_per_clock;
    const ReadRate l2 = l2_rate(gpu);
    REQUIRE(l2.l2 <= slices);
    REQUIRE(l2.l2 > 0.9 * slices);
    REQUIRE(l2.loaded <= gpu.sm_count * gpu.noc.sm_read_bytes_per_clock);
    const double peak = gpu.hbm.peak().count() / light_clock(gpu);
    const ReadRate memory = memory_rate(gpu);
    REQUIRE(memory.hbm <= peak);
    REQUIRE(memory.hbm > 0.85 * peak);
  }
}

TEST_CASE("bandwidth of a lone SM is what it has in flight over the latency") {
  // Little's law: a quarter of the lines in flight at an unchanged latency move a quarter of the bytes.
  GpuSpec gpu = a100();
  gpu.sm_count = 2;
  const auto rate = [&](std::uint32_t lines) {
    gpu.sm.load_lines_in_flight = lines;
    const TileProgram shorter = streaming_read(gpu, 4, 1, Residency::cold),
                      longer = streaming_read(gpu, 8, 2, Residency::cold);
    return (totals(longer).loaded.real() - totals(shorter).loaded.real()) /
           (cycles(longer, gpu) - cycles(shorter, gpu)) / gpu.sm_count;
  };
  const double latency = memory_latency(gpu);
  REQUIRE(rate(16) == Approx(16 * 128 / latency).epsilon(0.1));
  REQUIRE(rate(64) == Approx(64 * 128 / latency).epsilon(0.1));
}

TEST_CASE("an empty kernel takes the launch gap, the start, one CTA's launch and the end") {
  for (const GpuSpec& gpu : {h100(), a100()}) {
    const auto result = simulate(empty_kernel(), gpu, exact());
    REQUIRE(result);
    const double fixed = (gpu.launch.kernel_start + gpu.sm.cta_launch + gpu.launch.kernel_end).real();
    REQUIRE(result->cycles.real() == Approx(fixed + gpu.launch.cta_dispatch_cycles).margin(3));
    REQUIRE(result->time.count() ==
            Approx(gpu.launch.graph_kernel.count() + result->cycles.real() / result->clock.count()));
  }
}

TEST_CASE("measured: pointer chase through L1, L2 and HBM within 10 %") {
  const Measured measured("micro_gpu_benches.csv");
  if (!measured.found()) return;
  const auto chase = [&](const char* gpu, double low, double high) {
    return measured.mean(gpu, "mem_latency", low, high);
  };
  {
    INFO("A100");  // 40 MB in two partitions; the PCIe board runs at the same clock
    const Latencies l = latencies(a100());
    require_near(l.l1, chase("A100-PCIe-80GB", 40e3, 90e3), 0.1);
    require_near(l.near, chase("A100-PCIe-80GB", 4e6, 12e6), 0.1);
    require_near(l.far, chase("A100-PCIe-80GB", 25e6, 38e6), 0.1);
    require_near(l.memory, chase("A100-PCIe-80GB", 200e6, 1e9), 0.1);
  }
  {
    INFO("H100, against GH200");  // the same die with 60 MB of L2, at 1.98 GHz
    const GpuSpec gpu = h100();
    const Latencies l = latencies(gpu);
    require_near(l.l1, chase("GH200-96GB", 40e3, 90e3), 0.1);
    require_near(l.near, chase("GH200-96GB", 4e6, 12e6), 0.1);
    require_near(l.far, chase("GH200-96GB", 38e6, 57e6), 0.1);
    require_near(l.memory / light_clock(gpu), chase("GH200-96GB", 200e6, 1e9) / 1.98e9, 0.1);
  }
}

TEST_CASE("measured: L2 and HBM bandwidth within 5 %") {
  const Measured micro("micro_gpu_benches.csv"), tables("published_tables.csv");
  if (!micro.found() || !tables.found()) return;
  constexpr double kPcieA100Peak = 1935e9;  // data sheet: the same memory, slower pins; compared as a share of the peak
  const auto l2 = [&](const char* gpu) { return micro.mean(gpu, "l2_bandwidth", 10e6, 14e6) * 1e9; };
  {
    INFO("A100");
    const GpuSpec gpu = a100();
    const double clock = light_clock(gpu);
    require_near(l2_rate(gpu).loaded * clock, l2("A100-PCIe-80GB"), 0.05);
    require_near(memory_rate(gpu).hbm * clock / gpu.hbm.peak().count(),
                 micro.mean("A100-PCIe-80GB", "l2_bandwidth", 1e9, 5e9) * 1e9 / kPcieA100Peak, 0.05);
  }
  {
    INFO("H100");  // L2 per clock: the H200 has the same die, at 1.98 GHz
    const GpuSpec gpu = h100();
    require_near(l2_rate(gpu).loaded, l2("H200-SXM-141GB") / 1.98e9, 0.05);
    require_near(memory_rate(gpu).hbm * light_clock(gpu),
                 tables.value("H100-SXM-80GB", "hbm_bandwidth", {{"kind", "dot"}}) * 1e9, 0.05);
  }
}

TEST_CASE("measured: turnover of a CTA that loads once within 10 %") {
  const Measured measured("micro_gpu_benches.csv");
  if (!measured.found()) return;
  // Threads x 8 bytes over the bandwidth, one CTA of 16 threads per SM.
  const auto life = [&](const char* gpu, const char* kind, std::uint32_t threads) {
    return threads * 8 / measured.value(gpu, "stream_occupancy", {{"kind", kind}, {"block", 16}, {"threads", threads}});
  };
  require_near(turnover(a100(), false), life("A100-PCIe-80GB", "read", 16 * 108), 0.1);
  require_near(turnover(h100(), false), life("GH200-96GB", "read", 16 * 132), 0.1);
  require_near(turnover(h100(), true), life("GH200-96GB", "init", 16 * 132), 0.1);
}

TEST_CASE("measured: launch cost of the smallest kernels within 15 %") {
  // The measured kernels move 64 KiB or more, which costs two trips to the L2 that the empty kernel does not make: the
  // machines' fixed costs, which the kernels of the validation set call for, are the higher by that much.
  const Measured measured("micro_gpu_benches.csv");
  if (!measured.found()) return;
  const auto compare = [&](const GpuSpec& gpu, const char* name) {
    INFO(gpu.name);
    EvaluateOptions options = exact();
    const auto graph = simulate(empty_kernel(), gpu, options);
    options.launch = LaunchMode::stream;
    const auto stream = simulate(empty_kernel(), gpu, options);
    REQUIRE(graph);
    REQUIRE(stream);
    require_near(graph->time.count() * 1e6, measured.shortest(name, "small_kernel", "cuda graph"), 0.15);
    require_near(stream->time.count() * 1e6, measured.shortest(name, "small_kernel", "stream launch"), 0.15);
  };
  compare(a100(), "A100-PCIe-80GB");
  compare(h100(), "H200-SXM-141GB");
}
