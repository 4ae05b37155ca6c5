// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/program/microbenchmarks.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>

#include "models/cuda/program/timing.h"

namespace lightcone::models::cuda {

namespace {

constexpr std::size_t kLine = 128;  // bytes from one link of a chain to the next
constexpr int kChaseSteps = 8192;
constexpr int kRepeats = 9;
constexpr double kPowerSeconds = 2;  // of load before power is read; it settles within one

struct Bench {
  const DeviceFacts& device;
  bool quick;
  std::function<bool()> done;
  std::function<void(TableRow)> emit;
  Stream stream;
  Nvml nvml{device.pci_bus};
  DeviceBuffer sink{256};

  void value(const char* op, std::vector<Param> params, const char* dtype, double value, const char* unit,
             const char* kernel) {
    TableRow row{{}, {}, op, std::move(params), dtype, {}, value, unit, kernel, text_of(nvml.now()), {}};
    emit(std::move(row));
  }

  // Median over repetitions, the first left out.
  template <class Enqueue>
  double time(const Enqueue& enqueue) {
    std::vector<double> times;
    for (int i = 0; i <= kRepeats; ++i) {
      const double us = event_us(stream.get(), enqueue);
      if (i > 0) times.push_back(us);
    }
    return median(times);
  }
};

// Lines in one random cycle (Sattolo's shuffle), each holding the device address of the next.
std::vector<unsigned char> chain(const void* base, std::size_t bytes, std::uint64_t seed) {
  const std::size_t lines = bytes / kLine;
  std::vector<std::size_t> order(lines);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  for (std::size_t i = lines - 1; i > 0; --i) std::swap(order[i], order[random() % i]);
  std::vector<unsigned char> memory(bytes);
  for (std::size_t i = 0; i < lines; ++i) {
    const auto next = reinterpret_cast<std::uintptr_t>(base) + order[i] * kLine;
    std::memcpy(memory.data() + i * kLine, &next, sizeof next);
  }
  return memory;
}

void latency(Bench& b) {
  const std::size_t most = b.quick ? std::size_t(256) << 20 : std::size_t(1) << 30;
  DeviceBuffer memory(most), cycles(sizeof(long long));
  for (std::size_t bytes = 4096; bytes <= most && !b.done(); bytes *= b.quick ? 4 : 2) {
    memory.upload(chain(memory.data(), bytes, bytes));
    // Footprints that a cache may hold are walked once before; larger ones miss anyway.
    const int warm_up = int(std::min<std::size_t>(bytes / kLine, std::size_t(1) << 19));
    chase_pointers(memory.data(), warm_up, kChaseSteps, static_cast<long long*>(cycles.data()), b.sink.data(),
                   b.stream.get());
    b.stream.wait();
    const std::vector<unsigned char> read = cycles.download();
    long long total = 0;
    std::memcpy(&total, read.data(), sizeof total);
    b.value("mem_latency", {{"bytes", std::int64_t(bytes)}}, "", double(total) / kChaseSteps, "cycles",
            "pointer chase, 1 thread");
  }
}

void l2_bandwidth(Bench& b) {
  const std::size_t most = 4 * b.device.l2_bytes;
  const DeviceBuffer memory(most);
  for (std::size_t bytes = std::size_t(1) << 20; bytes <= most && !b.done(); bytes = bytes * (b.quick ? 4 : 3) / 2) {
    const std::size_t whole = bytes / 4096 * 4096;
    const int passes = int(std::max<std::size_t>(4, (std::size_t(1) << 30) / whole));
    const double us =
        b.time([&] { read_memory(memory.data(), whole, passes, b.device.sms, b.sink.data(), b.stream.get()); });
    b.value("l2_bandwidth", {{"bytes", std::int64_t(whole)}}, "", double(whole) * passes / us * 1e-3, "GB/s",
            "all SMs read one buffer past the L1");
  }
}

void hbm_bandwidth(Bench& b) {
  const std::size_t bytes = std::min(b.device.memory_bytes / 8, std::size_t(2) << 30) / 4096 * 4096;
  const DeviceBuffer from(bytes), to(bytes);
  const auto report = [&](const char* kind, double moved, double us) {
    b.value("hbm_bandwidth", {{"bytes", std::int64_t(bytes)}, {"kind", kind}}, "", moved / us * 1e-3, "GB/s",
            "grid-stride, 16 bytes per thread");
  };
  const cudaStream_t stream = b.stream.get();
  report("read", double(bytes),
         b.time([&] { read_memory(from.data(), bytes, 1, b.device.sms, b.sink.data(), stream); }));
  report("copy", 2.0 * double(bytes),
         b.time([&] { copy_memory(from.data(), to.data(), bytes, b.device.sms, stream); }));
  report("write", double(bytes), b.time([&] { write_memory(to.data(), bytes, b.device.sms, stream); }));
}

void rates(Bench& b) {
  struct Rate {
    Unit unit;
    const char *op, *dtype, *kernel, *name;
    int rounds;
  };
  const Rate list[] = {{Unit::tensor_bf16, "tensor_rate", "bf16", "mma.sync m16n8k16", "TFLOPS", 100},
                       {Unit::fp32, "fp32_rate", "fp32", "fma.rn.f32", "TFLOPS", 200},
                       {Unit::sfu, "sfu_rate", "fp32", "ex2.approx.ftz.f32", "Tera operations per second", 50}};
  for (const Rate& rate : list) {
    if (b.done()) return;
    const double us = b.time([&] { spin(rate.unit, b.device.sms, rate.rounds, b.sink.data(), b.stream.get()); });
    b.value(rate.op, {}, rate.dtype, spin_operations(rate.unit, b.device.sms, rate.rounds) / us * 1e-6, rate.name,
            rate.kernel);
  }
}

void launch_cost(Bench& b) {
  constexpr int kLaunches = 200;
  const cudaStream_t stream = b.stream.get();
  const auto many = [&] {
    for (int i = 0; i < kLaunches; ++i) empty_kernel(stream);
  };
  TableRow row{{}, {}, "launch_cost", {{"launch", "stream"}}, "", b.time(many) / kLaunches, {}, {}, "empty kernel",
               {}, {}};
  b.emit(row);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture of empty kernels");
  many();
  check_cuda(cudaStreamEndCapture(stream, &graph), "capture of empty kernels");
  check_cuda(cudaGraphInstantiate(&executable, graph, 0), "graph of empty kernels");
  row.params = {{"launch", "graph"}};
  row.time_us = b.time([&] { check_cuda(cudaGraphLaunch(executable, stream), "graph of empty kernels"); }) / kLaunches;
  b.emit(row);
  check_cuda(cudaGraphExecDestroy(executable), "graph of empty kernels");
  check_cuda(cudaGraphDestroy(graph), "graph of empty kernels");
}

// Watts at the end of some seconds of one kind of work, the GPU never idle.
void power(Bench& b) {
  const std::size_t bytes = std::min(b.device.memory_bytes / 8, std::size_t(1) << 30) / 4096 * 4096;
  const DeviceBuffer memory(bytes);
  const auto load = [&](const char* name, const auto& enqueue) {
    if (b.done()) return;
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(kPowerSeconds);
    enqueue();
    Telemetry last;
    do {
      enqueue();  // one more is always waiting behind the one that runs
      last = b.nvml.now();
      check_cuda(cudaGetLastError(), "load");
      if (b.stream.get() != nullptr) b.stream.wait();
    } while (Clock::now() < end);
    if (last.power_mw) b.value("power", {{"load", name}}, "", double(*last.power_mw) / 1000, "W", name);
  };
  const cudaStream_t stream = b.stream.get();
  load("idle", [] {});
  load("tensor", [&] { spin(Unit::tensor_bf16, b.device.sms, 2000, b.sink.data(), stream); });
  load("fp32", [&] { spin(Unit::fp32, b.device.sms, 4000, b.sink.data(), stream); });
  load("hbm", [&] { read_memory(memory.data(), bytes, 50, b.device.sms, b.sink.data(), stream); });
}

}  // namespace

void run_microbenchmarks(const DeviceFacts& device, bool quick, const std::function<bool()>& done,
                         const std::function<void(TableRow)>& row) {
  Bench bench{device, quick, done, row, {}, Nvml(device.pci_bus), DeviceBuffer(256)};
  for (void (*one)(Bench&) : {launch_cost, rates, hbm_bandwidth, l2_bandwidth, latency, power}) {
    if (!done()) one(bench);
  }
}

}  // namespace lightcone::models::cuda
