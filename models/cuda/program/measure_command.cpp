// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "models/cuda/measure/shape_list.h"
#include "models/cuda/program/commands.h"
#include "models/cuda/program/microbenchmarks.h"
#include "models/cuda/program/timing.h"
#include "models/cuda/record/recording.h"
#include "sim/base/error.h"

namespace lightcone::models::cuda {

namespace {

constexpr const char* kMicro = "micro";
constexpr std::size_t kMostScratch = std::size_t(2) << 30;
constexpr std::uint64_t kSeed = 7;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// The table under way: every row is on disk when it is measured.
class TableFile {
 public:
  TableFile(std::string file, std::string gpu) : file_(std::move(file)), gpu_(std::move(gpu)), out_(file_) {
    out_ << table_header();
  }
  void add(TableRow row, const std::string& what) {
    row.source = "lightcone-gpu:" + what;
    row.gpu = gpu_;
    out_ << table_line(row) << std::flush;
    if (!out_) throw RunError(file_ + ": cannot be written");
    ++rows_;
  }
  [[nodiscard]] int rows() const { return rows_; }
  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  std::string file_, gpu_;
  std::ofstream out_;
  int rows_ = 0;
};

std::string source_of(const std::string& kernel) {
  return kernel.find("cublas") != std::string::npos ? "cublas-" + cublas_version() : "kernels";
}

void measure_shape(const TimedShape& shape, const DeviceFacts& device, const Nvml& nvml, bool quick, DeviceRun& run,
                   TableFile& table) {
  const Problem problem = cases_of(shape.primitive).problem(shape.sizes, kSeed);
  double bytes = 0;
  for (const InputSpec& spec : problem.inputs) bytes += double(spec.count) * double(bytes_of(spec.element));
  for (const OutputSpec& spec : problem.outputs) bytes += double(spec.count) * double(bytes_of(spec.element));
  const int copies = rotating_copies(bytes, double(device.l2_bytes), double(device.memory_bytes));
  const Operands operands(problem, shape.sizes, copies, kSeed, run.stream());
  std::vector<std::string> kernels{shape.primitive};
  kernels.insert(kernels.end(), shape.variants.begin(), shape.variants.end());
  for (const std::string& kernel : kernels) {
    if (!runs_on(kernel, shape.sizes, device.major)) continue;
    const Timed timed = time_calls(device_primitive(kernel), operands, run, quick);
    TableRow row{{}, {}, shape.op, shape.params, shape.dtype, timed.median_us, {}, {}, kernel, {}, {}};
    row.note = fmt::format("graph of {} x {}, median; least {:.5g} us; {} copies of random operands; {}",
                           timed.plan.launches, timed.plan.replays, timed.least_us, copies, text_of(nvml.now()));
    table.add(row, source_of(kernel));
    fmt::print(stderr, "{:<20} {:<24} {:>12.2f} us  {}\n", shape.op, kernel, timed.median_us, text_of(shape.sizes));
  }
}

int list_shapes(const std::vector<TimedShape>& shapes, bool quick) {
  for (const TimedShape& shape : shapes) fmt::print("{} {}\n", shape.op, text_of(shape.sizes));
  fmt::print("{} shapes, at most about {:.0f} s with microbenchmarks by a cautious guess\n", shapes.size(),
             guessed_seconds(shapes, quick) + kMicrobenchmarkShare * (quick ? kQuickSeconds : kFullSeconds));
  return 0;
}

}  // namespace

int measure_command(const MeasureOptions& options) {
  std::vector<std::string> ops = options.ops;
  const bool micro = ops.empty() || std::erase(ops, kMicro) > 0;
  std::vector<TimedShape> shapes;
  if (options.ops.empty() || !ops.empty()) shapes = timed_shapes(options.quick, ops);
  if (options.list) return list_shapes(shapes, options.quick);

  const DeviceFacts device = device_facts();
  const Nvml nvml(device.pci_bus);
  const std::string gpu = gpu_name(device.name);
  TableFile table(options.out.empty() ? "measured_" + gpu + ".csv" : options.out, gpu);
  fmt::print(stderr, "{}, driver {}, CUDA {}; {}\n", device.name, device.driver, device.toolkit, text_of(nvml.now()));
  const auto begin = Clock::now();
  const double budget = options.quick ? kQuickSeconds : kFullSeconds;
  if (micro) {
    run_microbenchmarks(
        device, options.quick, [&] { return seconds_since(begin) > kMicrobenchmarkShare * budget; },
        [&](TableRow row) {
          fmt::print(stderr, "{:<20} {:>12.5g} {}\n", row.op, row.value.value_or(row.time_us.value_or(0)),
                     row.value ? row.unit : "us");
          table.add(std::move(row), "microbenchmarks");
        });
  }
  const Stream stream;
  DeviceRun run(stream.get(), std::min(kMostScratch, device.memory_bytes / 8));
  std::size_t left_out = 0;
  for (const TimedShape& shape : shapes) {
    if (seconds_since(begin) > 0.95 * budget) {
      ++left_out;
      continue;
    }
    measure_shape(shape, device, nvml, options.quick, run, table);
  }
  fmt::print(stderr, "{} rows in {:.0f} s, in {}\n", table.rows(), seconds_since(begin), table.file());
  if (left_out != 0) fmt::print(stderr, "{} shapes were left out: the time was up\n", left_out);
  return 0;
}

}  // namespace lightcone::models::cuda
