// SPDX-License-Identifier: Apache-2.0
// A small GPU and a pass of three operators with hand-made kernel results whose totals can be worked out on paper.
#pragma once

#include "scenarios/run/evaluate_messages.h"
#include "scenarios/run/run_pass.h"

namespace lightcone::test {

inline hardware::GpuSpec small_gpu() {
  hardware::GpuSpec gpu;
  gpu.name = "test_gpu";
  gpu.sm_count = 10;
  gpu.clock = {Hertz(1e9), Hertz(2e8)};
  gpu.power.reference = gpu.clock.boost;
  gpu.sm.tensor.flops_per_clock[NumberFormat::bf16] = 1000;  // peak: 1000 x 10 x 1 GHz = 10 TFLOP/s
  gpu.hbm.stacks = 1;
  gpu.hbm.channels_per_stack = 10;
  gpu.hbm.pseudo_channels_per_channel = 1;
  gpu.hbm.pseudo_channel_bits = 80;
  gpu.hbm.gigabits_per_second_per_pin = 1;  // 10 x 80 / 8 x 1e9 = 100 GB/s
  gpu.hbm.capacity = Bytes(1000000000);
  gpu.sources = {
      {"hbm.stacks", "datasheet"}, {"launch.graph_kernel", "calibrated: set"}, {"l2.ways", "assumed: usual"}};
  return gpu;
}

inline hardware::TileProgram named_program(const std::string& name) {
  hardware::TileProgram program;
  program.name = name;
  program.threads_per_cta = static_cast<std::uint32_t>(name.size());  // so that the hash differs whatever it reads
  return program;
}

// A kernel of `microseconds`, of which 90 % body, with the given reasons.
inline KernelResult kernel(const std::string& name, double microseconds, std::array<double, kCycleReasonCount> reasons,
                           std::uint64_t hbm_bytes) {
  KernelResult r;
  r.program = name;
  r.evaluator = Evaluator::cycle;
  r.time = Seconds(microseconds * 1e-6);
  r.launch = Seconds(microseconds * 1e-7);
  r.clock = Hertz(8e8);
  r.cycles = Cycles(static_cast<std::uint64_t>(microseconds * 0.9 * 800));
  r.reason_cycles = reasons;
  r.bounds.tensor = Seconds(microseconds * 0.8e-6);
  r.work.hbm_read = Bytes(hbm_bytes);
  r.energy.tensor = Joules(microseconds * 1e-4);
  r.simulated_fraction = 0.5;
  r.timeline = {{0, microseconds / 2, 0.8, 0.1, 0, 0.2, 0.3, 0.4},
                {microseconds / 2, microseconds, 0.6, 0, 0, 0, 0.1, 0.2}};
  return r;
}

struct Example {
  scenarios::PassInput input;
  std::vector<scenarios::MappedOperator> mapped;
  std::vector<scenarios::EvaluatedKernel> kernels;
};

// Section "layer" four times: a GEMM of one kernel (100 us) and a norm of two equal kernels (10 us each); then one
// head GEMM that uses the same kernel as the first. Pass: 4 x (100 + 20) + 100 = 580 us.
inline Example example() {
  Example e;
  e.input.scenario = "example";
  e.input.model = "tiny";
  e.input.machine = "test_machine";
  e.input.phase = "prefill";
  e.input.batch = 2;
  e.input.tokens = 58;
  e.input.gpu = small_gpu();
  e.input.memory = {{"KV cache", Bytes(1000)}, {"weights", Bytes(5000)}};
  models::Gemm gemm;
  gemm.m = 100;
  gemm.n = 1000;
  gemm.k = 1000;  // 0.2 GFLOP: 20 us at peak
  models::Norm norm;
  norm.rows = 10;
  norm.columns = 100;
  e.input.nodes = {{"up", "layer", 4, gemm}, {"norm", "layer", 4, norm}, {"head", "final", 1, gemm}};
  hardware::TileProgram a = named_program("gemm_a");
  a.classes = {{"tile", {{"math", 4, {hardware::Mma{}}}}, {}}};  // a matrix instruction in bf16
  const hardware::TileProgram b = named_program("norm_bb");
  e.mapped = {
      {e.input.nodes[0], {{a}, "tile a"}}, {e.input.nodes[1], {{b, b}, ""}}, {e.input.nodes[2], {{a}, "tile a"}}};
  const KernelResult ra = kernel("gemm_a", 100, {80, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0}, 1000000);
  const KernelResult rb = kernel("norm_bb", 10, {0, 0, 10, 0, 0, 0, 90, 0, 0, 0, 0}, 500000);
  e.kernels = {
      {"hash_a", ra, "", false}, {"hash_b", rb, "", false}, {"hash_b", rb, "", false}, {"hash_a", ra, "", true}};
  return e;
}

// The same on four GPUs, with a sum over them of 50 us (5 us of it to start) behind each layer: 4 x 50 us more.
inline Example with_collective() {
  Example e = example();
  e.input.plan.tensor = 4;
  const models::Communication sum{models::CollectiveKind::all_reduce, models::ParallelAxis::tensor, 4, 100000};
  const scenarios::OperatorNode node{"sum", "layer", 4, sum};
  hardware::MessageProgram program;
  program.name = "all_reduce_ring";
  program.gpus = {0, 1, 2, 3};
  e.input.nodes.insert(e.input.nodes.begin() + 2, node);
  e.mapped.insert(e.mapped.begin() + 2, scenarios::MappedOperator{node, {{}, "ring"}, program});
  MessageResult messages;
  messages.program = program.name;
  messages.evaluator = Evaluator::cycle;
  messages.time = Seconds(50e-6);
  messages.start = Seconds(5e-6);
  messages.bound_by = "link nvlink4";
  messages.links = {{"nvlink4", 8, Bytes(300000), 0.5, Joules(4e-3)}};
  messages.messages = 24;
  messages.payload = Bytes(280000);
  messages.memory_read = messages.memory_written = Bytes(200000);
  messages.sms = 4;
  messages.energy = Joules(8e-3);
  scenarios::EvaluatedKernel step{"hash_m", scenarios::as_kernel(messages, 4, e.input.gpu), "", false, messages};
  e.kernels.insert(e.kernels.begin() + 3, step);
  return e;
}

inline scenarios::RunResult summarised(const Example& e) {
  return scenarios::summarise_pass(e.input, e.mapped, e.kernels, scenarios::ValidationTable());
}

}  // namespace lightcone::test
