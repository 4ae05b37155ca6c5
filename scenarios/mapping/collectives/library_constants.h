// SPDX-License-Identifier: Apache-2.0
// What the communication kernels of NCCL and of the serving libraries cost by themselves, per generation of GPU: time
// of a step, rate of one CTA. Latencies and rates of links and switches are the machine file's.
//
// Calibrated: aiconfigurator, nccl-tests of NCCL 2.27.3 (A100) and 2.29.2 (H100, B200), all_reduce, all_gather,
// reduce_scatter and all_to_all of 2 to 8 ranks and the all-reduces of the servers, one set per GPU for all sizes.
// Buffers and chunks are NCCL's (src/include/device.h, src/enqueue.cc).
#pragma once

#include <cstdint>

#include "hardware/spec/gpu_spec.h"
#include "scenarios/mapping/collectives/collective_options.h"
#include "sim/base/units.h"

namespace lightcone::scenarios {

struct ProtocolConstants {
  Seconds first_use;          // once per collective, beyond the start
  Seconds step_overhead;      // of each message: waiting threads see it, the CTA synchronises, fences and posts
  BytesPerSecond rate;        // of one CTA into a link, payload
  BytesPerSecond local_rate;  // of one CTA that takes the last message and sends none
  Bytes step;                 // payload of one slot of the FIFO
  double wire_per_payload = 1;
  std::uint32_t slice_steps = 1, chunk_steps = 1;  // slots of a message; of a chunk
  std::uint32_t threads = 512;
  std::uint32_t thread_threshold = 8;  // bytes per thread below which NCCL takes fewer channels
};

struct CollectiveConstants {
  hardware::TensorCoreGeneration generation = hardware::TensorCoreGeneration::mma_sync;
  Seconds start;                  // launch of the kernel to its first step
  BytesPerSecond channel_search;  // what NCCL's search gives a channel: it sets how many there are
  ProtocolConstants ll, ll128, simple;
  // Copies of all-to-all and send/receive: one CTA per channel, LL below a size.
  BytesPerSecond point_to_point_rate;
  Seconds point_to_point_first_use;  // once, where messages are too large for LL
  Seconds point_to_point_overhead;   // of each message then
  std::uint32_t point_to_point_channels = 16;
  // In the switch: CTAs, rate of one, once per collective.
  std::uint32_t in_switch_channels = 16;
  BytesPerSecond in_switch_rate;
  Seconds in_switch_first_use;
  // All-reduces of the serving libraries inside a CUDA graph: start, CTAs, rate of one.
  Seconds shot_start;
  std::uint32_t shot_channels = 8;
  BytesPerSecond shot_rate;
};

// `channels` NCCL makes at most.
inline constexpr std::uint32_t kMostChannels = 32;

CollectiveConstants collective_constants(const hardware::GpuSpec& gpu);
const ProtocolConstants& protocol_constants(const CollectiveConstants& constants, CollectiveProtocol protocol);

}  // namespace lightcone::scenarios
