// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/gpu_core.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {
constexpr std::uint64_t kTensorAlignment = 2u << 20;  // pages of the GPU's virtual memory
constexpr std::size_t kMaxSamples = 240;
// Requests that wait in front of a memory channel's queues before the slices that evict into it stop: the depth of
// their victim buffers. Assumed; it only has to be small beside the cache, so that a stream of stores runs at the
// memory's rate and not ahead of it.
constexpr std::size_t kWriteBacklog = 192;

// What a stream of kernels like this one leaves in the L2 for the next: everything when all tensors together take
// less than one partition (what all SMs read is kept in both), nothing when they take more than both, and a share in
// between.
double resident_share(const TileProgram& program, const L2Spec& l2) {
  double footprint = 0;
  for (const Tensor& tensor : program.tensors) footprint += tensor.bytes.real();
  const double one_partition = l2.capacity.real() / l2.partitions;
  return std::clamp(2 - footprint / one_partition, 0.0, 1.0);
}

// When loops leave iterations out, what a wave of CTAs touches shrinks; the cache shrinks with it, so that the next
// wave finds about the share of it that it would have found. Not below half: what the CTAs of one wave share at a time
// does not shrink.
L2Spec shrunk(L2Spec spec, double played_share) {
  const std::uint64_t set = std::uint64_t{spec.slices} * spec.ways * spec.line.count();
  const double capacity = spec.capacity.real() * std::max(played_share, 0.5);
  spec.capacity = Bytes(std::max<std::uint64_t>(static_cast<std::uint64_t>(capacity) / set, 1) * set);
  return spec;
}

// Core cycles of a load that misses the L2, when nothing else is under way.
double memory_trip(const GpuSpec& gpu) {
  return (gpu.sm.l1_latency + gpu.near_l2_latency()).real() +
         to_seconds(gpu.hbm.controller_latency).count() * gpu.clock.boost.count();
}
constexpr double kTripsPerRound = 32;  // loads under way at a round's ends are then a small part of it

// Of the lines that kernels like this one leave in the L2, the share that is modified. What is read from the other
// partition is there twice, at home and as a copy; what is written only at home.
double written_share(const TileProgram& program, const L2Spec& l2) {
  const double places_of_read_line = 2 - 1.0 / l2.partitions;
  double held = 0, written = 0;
  for (const Tensor& tensor : program.tensors) {
    held += tensor.bytes.real() * (tensor.written ? 1 : places_of_read_line);
    if (tensor.written) written += tensor.bytes.real();
  }
  return held > 0 ? written / held : 0;
}
}  // namespace

GpuCore::GpuCore(const TileProgram& program, const GpuSpec& gpu, const EvaluateOptions& options)
    : program_(program),
      gpu_(gpu),
      options_(options),
      hbm_(gpu.hbm, *this),
      crossbar_(gpu.noc),
      resident_(occupancy(program, gpu.sm)),
      slots_(resident_ * gpu.sm_count),
      scheduler_(program, slots_, !options.exact, options.sampling_tolerance, kTripsPerRound * memory_trip(gpu)),
      l2_(shrunk(gpu.l2, scheduler_.played_share()), crossbar_, wheel_, *this),
      next_round_(std::min<std::uint64_t>(slots_, scheduler_.total())) {
  LIGHTCONE_ASSERT(resident_ > 0);
  place_tensors();
  const SmSurroundings surroundings{gpu_, program_,   tensor_base_, wheel_,    crossbar_,
                                    l2_,  scheduler_, counters_,    dispatch_, stores_under_way_};
  for (std::uint32_t i = 0; i < gpu.sm_count; ++i) {
    sms_.push_back(std::make_unique<StreamingMultiprocessor>(static_cast<std::uint16_t>(i), resident_, surroundings));
  }
}

void GpuCore::place_tensors() {
  const double share = resident_share(program_, gpu_.l2);
  std::vector<WarmRange> warm;
  std::uint64_t next = 0;
  for (const Tensor& tensor : program_.tensors) {
    tensor_base_.push_back(next);
    const std::uint64_t bytes = tensor.bytes.count();
    if (tensor.residency == Residency::warm && share > 0) {
      warm.push_back(WarmRange{next / 128, (bytes + 127) / 128, share, {}});
    }
    next += (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
  }
  if (next / 128 / gpu_.l2.slices >= L2Cache::kMostLines) {
    throw ConfigError(program_.name + ": its tensors take " + std::to_string(next) + " bytes, more than the " +
                      std::to_string(std::uint64_t{L2Cache::kMostLines} * 128 * gpu_.l2.slices) + " that the tags of " +
                      std::to_string(gpu_.l2.slices) + " L2 slices tell apart");
  }
  l2_.start_with(std::move(warm), (1 - share) * written_share(program_, gpu_.l2));
}

Picoseconds GpuCore::time_of(double core_cycle) const {
  return to_picoseconds(Seconds(core_cycle / core_->frequency().count()));
}

void GpuCore::read(std::uint64_t address, std::uint32_t bytes, std::uint32_t slice, std::uint32_t fetch,
                   double core_cycle) {
  hbm_.request(address, bytes, false, (std::uint64_t{slice} << 32) | fetch, time_of(core_cycle));
}

double GpuCore::write(std::uint64_t address, std::uint32_t bytes, double core_cycle) {
  const std::size_t backlog = hbm_.request(address, bytes, true, 0, time_of(core_cycle));
  if (backlog <= kWriteBacklog) return core_cycle;
  const double channel_rate = gpu_.hbm.peak().count() / gpu_.hbm.pseudo_channels() / core_->frequency().count();
  return core_cycle + static_cast<double>(backlog - kWriteBacklog) * bytes / channel_rate;
}

void GpuCore::hbm_done(std::uint64_t tag, Picoseconds at) {
  const engine::Cycle cycle = std::max(core_->cycle_at(at), now_ + 1);
  wheel_.send(now_, cycle,
              Message{MessageKind::fill, static_cast<std::uint16_t>(tag >> 32), static_cast<std::uint32_t>(tag), {}});
  core_->wake_at(cycle);
}

engine::Wake GpuCore::tick(engine::Cycle now) {
  now_ = now;
  if (!started_) start(now);
  wheel_.deliver(now, [&](const Message& message) { deliver(now, message); });
  observe(now);
  const bool all_done = scheduler_.completed() == scheduler_.total() && stores_under_way_ == 0;
  if ((all_done || scheduler_.steady()) && end_ == engine::kNever) {
    end_ = now;
    for (auto& sm : sms_) sm->close_accounts(now);
    engine::stop();
  }
  return engine::Wake::at(wheel_.next(now));
}

void GpuCore::start(engine::Cycle now) {
  started_ = true;
  for (std::uint32_t slot = 0; slot < resident_; ++slot) {
    for (auto& sm : sms_) sm->launch(now, slot);
  }
}

void GpuCore::deliver(engine::Cycle now, const Message& message) {
  switch (message.kind) {
    case MessageKind::slice_request:
      return l2_.on_request(now, message.place, message.request);
    case MessageKind::home_request:
      return l2_.on_home_request(now, message.place, message.index);
    case MessageKind::fill:
      return l2_.on_fill(now, message.place, message.index);
    case MessageKind::sm_data:
      return sms_[message.place]->on_data(now, message.request);
    case MessageKind::transfer_done:
      return sms_[message.place]->on_transfer_done(now, message.index);
    case MessageKind::copy_start:
      return sms_[message.place]->on_copy_start(now, message.index);
    case MessageKind::cta_start:
      return sms_[message.place]->on_cta_start(now, message.index);
    case MessageKind::role_wake:
      return sms_[message.place]->on_role_wake(now, message.index / 16, message.index % 16);
  }
}

void GpuCore::observe(engine::Cycle now) {
  if (scheduler_.completed() >= next_round_) {
    rounds_.push_back(snapshot(now));
    next_round_ += std::min<std::uint64_t>(slots_, scheduler_.total());
  }
  if (!options_.timeline || now < next_sample_) return;
  samples_.push_back(snapshot(now));
  if (samples_.size() >= kMaxSamples) {  // half the resolution from here on
    for (std::size_t i = 0; 2 * i < samples_.size(); ++i) samples_[i] = samples_[2 * i];
    samples_.resize((samples_.size() + 1) / 2);
    sample_every_ *= 2;
  }
  next_sample_ = now + sample_every_;
}

std::string GpuCore::outstanding() const {
  return std::to_string(stores_under_way_) + " boxes being stored and " + std::to_string(hbm_.pending()) +
         " HBM requests under way, " + std::to_string(l2_.waiting()) + " waiting for a miss register";
}

CoreSnapshot GpuCore::snapshot(engine::Cycle now) {
  CoreSnapshot out;
  out.cycle = static_cast<double>(now);
  for (auto& sm : sms_) {
    sm->close_accounts(now);
    const SmWork& work = sm->work();
    for (std::size_t f = 0; f < out.mma_flops.size(); ++f) out.mma_flops[f] += work.mma_flops[f];
    out.mma_useful += work.mma_useful;
    out.vector_flops += work.vector_flops;
    out.fp32_ops += work.fp32_ops;
    out.sfu_ops += work.sfu_ops;
    out.shared_bytes += work.shared_bytes;
    out.loaded_bytes += work.loaded_bytes;
    out.stored_bytes += work.stored_bytes;
    const auto busy = sm->busy();
    out.tensor_busy += busy.tensor;
    out.fp32_busy += busy.fp32;
    out.sfu_busy += busy.sfu;
    out.shared_busy += busy.shared;
    const auto reasons = sm->accounting().reasons();
    for (std::size_t r = 0; r < reasons.size(); ++r) out.reasons[r] += reasons[r];
  }
  const L2Stats& l2 = l2_.stats();
  out.l2_read = static_cast<double>(l2.read_bytes);
  out.l2_hit = static_cast<double>(l2.hit_bytes);
  out.l2_written = static_cast<double>(l2.written_bytes);
  out.hbm_read = static_cast<double>(l2.hbm_read_bytes);
  out.hbm_written = static_cast<double>(l2.hbm_written_bytes);
  out.l2_busy = l2_.data_busy_cycles();
  return out;
}

}  // namespace lightcone::hardware
