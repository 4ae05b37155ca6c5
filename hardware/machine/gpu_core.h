// SPDX-License-Identifier: Apache-2.0
// The core clock domain of a GPU: SMs, crossbar and L2 cache, assembled around one timing wheel that carries all their
// messages, and the bridges to the HBM clock domain.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hardware/machine/evaluate.h"
#include "hardware/machine/hbm_device.h"
#include "hardware/parts/cta_scheduler.h"
#include "hardware/parts/l2_cache.h"
#include "hardware/parts/streaming_multiprocessor.h"
#include "sim/engine/clock_domain.h"

namespace lightcone::hardware {

// Sums over the GPU at one moment; two of them subtract to what happened in between.
struct CoreSnapshot {
  double cycle = 0;
  std::array<double, kNumberFormats.size()> mma_flops{};
  double mma_useful = 0, vector_flops = 0, fp32_ops = 0, sfu_ops = 0, shared_bytes = 0;
  double loaded_bytes = 0, stored_bytes = 0;
  double l2_read = 0, l2_hit = 0, l2_written = 0, hbm_read = 0, hbm_written = 0;
  double tensor_busy = 0, fp32_busy = 0, sfu_busy = 0, shared_busy = 0, l2_busy = 0;
  std::array<double, kCycleReasonCount> reasons{};
};

class GpuCore : public engine::DomainModel, private MemoryPort, private HbmListener {
 public:
  GpuCore(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options);
  void attach(engine::ClockDomain& core) { core_ = &core; }
  [[nodiscard]] HbmDevice& hbm() { return hbm_; }

  engine::Wake tick(engine::Cycle now) override;

  // After the run.
  [[nodiscard]] bool finished() const { return end_ != engine::kNever; }
  [[nodiscard]] engine::Cycle end() const { return end_; }
  [[nodiscard]] const CtaScheduler& scheduler() const { return scheduler_; }
  [[nodiscard]] CoreSnapshot snapshot(engine::Cycle now);
  // Taken whenever as many work items had finished as the GPU holds at once, for extrapolation.
  [[nodiscard]] const std::vector<CoreSnapshot>& rounds() const { return rounds_; }
  // Taken at regular times, for the timeline.
  [[nodiscard]] const std::vector<CoreSnapshot>& samples() const { return samples_; }
  // What is still under way, in words: for the error that a deadlock is.
  [[nodiscard]] std::string outstanding() const;
  [[nodiscard]] std::uint32_t slots() const { return slots_; }

 private:
  void read(std::uint64_t address, std::uint32_t bytes, std::uint32_t slice, std::uint32_t fetch,
            double core_cycle) override;
  double write(std::uint64_t address, std::uint32_t bytes, double core_cycle) override;
  void hbm_done(std::uint64_t tag, Picoseconds at) override;

  void place_tensors();
  void start(engine::Cycle now);
  void deliver(engine::Cycle now, const Message& message);
  void observe(engine::Cycle now);
  [[nodiscard]] Picoseconds time_of(double core_cycle) const;

  const TileProgram& program_;
  const GpuSpec& gpu_;
  const EvaluateOptions options_;
  engine::ClockDomain* core_ = nullptr;
  HbmDevice hbm_;
  CoreWheel wheel_;
  Crossbar crossbar_;
  std::uint32_t resident_;
  std::uint32_t slots_;
  CtaScheduler scheduler_;
  L2Cache l2_;
  GridCounters counters_;
  Server dispatch_;
  std::uint64_t stores_under_way_ = 0;
  std::vector<std::uint64_t> tensor_base_;
  std::vector<std::unique_ptr<StreamingMultiprocessor>> sms_;
  engine::Cycle now_ = 0;
  engine::Cycle end_ = engine::kNever;
  bool started_ = false;
  std::uint64_t next_round_;
  std::vector<CoreSnapshot> rounds_, samples_;
  engine::Cycle sample_every_ = 256;
  engine::Cycle next_sample_ = 0;
};

}  // namespace lightcone::hardware
