// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <chrono>
#include <ctime>

#include "models/cuda/kernels/primitives.h"
#include "models/cuda/measure/table.h"
#include "models/cuda/program/commands.h"
#include "models/cuda/program/device.h"
#include "models/cuda/program/libraries.h"
#include "models/cuda/record/compare.h"
#include "models/cuda/record/recording.h"

namespace lightcone::models::cuda {

namespace {

constexpr std::size_t kScratchBytes = 256 << 20;
constexpr std::size_t kGuardBytes = 1024;  // behind every output: must stay poisoned

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Runs one case; the outputs' records, and whether all is well.
bool run_case(const PrimitiveCases& cases, std::string_view name, const Sizes& sizes, std::uint64_t seed,
              Recording& to) {
  const Problem problem = cases.problem(sizes, seed);
  const std::vector<Values> inputs = make_inputs(cases, sizes, seed), truth = cases.truth(sizes, inputs);
  std::vector<DeviceBuffer> in, out;
  Arguments arguments;
  arguments.sizes = sizes;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<unsigned char> bytes = pack(problem.inputs[i].element, inputs[i]);
    in.emplace_back(bytes.size()).upload(bytes);
    arguments.inputs.push_back(in.back().data());
  }
  for (const OutputSpec& spec : problem.outputs) {
    out.emplace_back(std::size_t(spec.count) * bytes_of(spec.element) + kGuardBytes).poison(kPoison);
    arguments.outputs.push_back(out.back().data());
  }
  const Stream stream;
  DeviceRun run(stream.get(), kScratchBytes);
  check_cuda(cudaDeviceSynchronize(), "operands of a case");  // they came through the default stream
  device_primitive(name)(run, arguments);
  stream.wait();

  CaseRecord& record = to.cases.emplace_back(CaseRecord{std::string(name), sizes, {}});
  bool good = true;
  for (std::size_t i = 0; i < problem.outputs.size(); ++i) {
    const OutputSpec& spec = problem.outputs[i];
    std::vector<unsigned char> bytes = out[i].download();
    const std::vector<unsigned char> guard(bytes.end() - std::ptrdiff_t(kGuardBytes), bytes.end());
    bytes.resize(bytes.size() - kGuardBytes);
    record.outputs.push_back(record_output(spec, bytes, truth[i]));
    const double error = record.outputs.back().error;
    const bool inside = guard == std::vector<unsigned char>(kGuardBytes, kPoison);
    const bool within = error <= spec.tolerance;
    good = good && inside && within;
    fmt::print("{} {:<24} {:<60} {:<10} {:.2e} (at most {:.0e}){}\n", within && inside ? "ok   " : "WRONG", name,
               text_of(sizes), spec.name, error, spec.tolerance, inside ? "" : ", written beyond its end");
  }
  return good;
}

}  // namespace

int check_command(const CheckOptions& options) {
  const DeviceFacts device = device_facts();
  const Nvml nvml(device.pci_bus);
  Recording recording{device.name,   gpu_name(device.name), fmt::format("{}.{}", device.major, device.minor),
                      device.driver, device.toolkit,        0,
                      utc_now(),     options.seed,          {}};
  fmt::print("{}, compute capability {}, driver {}, CUDA {}\n", recording.device, recording.compute_capability,
             recording.driver, recording.toolkit);
  int wrong = 0, run = 0;
  const auto check_all = [&](std::string_view name, std::string_view cases_name) {
    const PrimitiveCases& cases = cases_of(cases_name);
    for (const auto* list : {&cases.small, &cases.large}) {
      for (const Sizes& sizes : *list) {
        if (!runs_on(name, sizes, device.major)) continue;
        ++run;
        if (!run_case(cases, name, sizes, options.seed, recording)) ++wrong;
      }
    }
  };
  for (const PrimitiveCases& cases : all_cases()) check_all(cases.name, cases.name);
  for (const Variant& variant : variants()) check_all(variant.name, variant.cases_of);
  recording.clock_mhz = nvml.now().sm_mhz.value_or(0);
  const std::string file = options.out.empty()
                               ? fmt::format("{}/tests/measured/check_{}.json", LIGHTCONE_SOURCE_DIR, recording.gpu)
                               : options.out;
  write_recording(recording, file);
  fmt::print("{} cases, {} wrong; recorded in {}\n", run, wrong, file);
  return wrong == 0 ? 0 : 1;
}

}  // namespace lightcone::models::cuda
