// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/library_constants.h"

#include <array>

namespace lightcone::scenarios {

namespace {

constexpr std::array<std::string_view, 9> kAlgorithms{
    "ring", "tree", "double_tree", "halving_doubling", "in_switch", "direct", "hierarchical", "one_shot", "two_shot"};
constexpr std::array<std::string_view, 3> kProtocols{"ll", "ll128", "simple"};

constexpr BytesPerSecond gigabytes(double value) { return BytesPerSecond(value * 1e9); }
constexpr Seconds microseconds(double value) { return Seconds(value * 1e-6); }

// FIFO geometry. LL: 8 slots of 512 threads x 8 lines x 16 bytes, half of them data. LL128: 640 threads x 120 elements
// of 8 bytes a slot, 15 of 16 data. Simple: 4 MiB in 8 slots; two slots to a message, four to a chunk.
void set_geometry(CollectiveConstants& c) {
  c.ll.step = Bytes(32768);
  c.ll.wire_per_payload = 2;
  c.ll128.step = Bytes(640 * 120 * 8 / 16 * 15);
  c.ll128.wire_per_payload = 16.0 / 15;
  c.ll128.threads = 640;
  c.simple.step = Bytes(524288);
  c.simple.slice_steps = 2;
  c.simple.chunk_steps = 4;
  c.simple.thread_threshold = 64;
}

}  // namespace

std::string_view name(CollectiveAlgorithm algorithm) { return kAlgorithms[static_cast<std::size_t>(algorithm)]; }
std::string_view name(CollectiveProtocol protocol) { return kProtocols[static_cast<std::size_t>(protocol)]; }

CollectiveConstants collective_constants(const hardware::GpuSpec& gpu) {
  CollectiveConstants c;
  c.generation = gpu.sm.tensor.generation;
  set_geometry(c);
  switch (gpu.sm.tensor.generation) {
    case hardware::TensorCoreGeneration::mma_sync:
      c.start = microseconds(7.6);
      c.channel_search = gigabytes(10);
      c.ll.step_overhead = microseconds(0.4);
      c.ll.rate = gigabytes(6.9);
      c.ll.local_rate = gigabytes(2.1);
      c.ll128.first_use = microseconds(9);
      c.ll128.step_overhead = microseconds(0.8);
      c.ll128.rate = gigabytes(7.2);
      c.simple.first_use = microseconds(12.2);
      c.simple.step_overhead = microseconds(2.77);
      c.simple.rate = gigabytes(9.55);
      c.simple.local_rate = gigabytes(22.5);
      c.point_to_point_rate = gigabytes(12.6);
      c.point_to_point_first_use = microseconds(0);
      c.point_to_point_overhead = microseconds(0.7);
      c.shot_start = microseconds(3.2);
      c.shot_rate = gigabytes(20);
      break;
    case hardware::TensorCoreGeneration::wgmma:
      c.start = microseconds(4.1);
      c.channel_search = gigabytes(15);
      c.ll.step_overhead = microseconds(0.34);
      c.ll.rate = gigabytes(11.5);
      c.ll.local_rate = gigabytes(5.55);
      c.ll128.first_use = microseconds(2.8);
      c.ll128.step_overhead = microseconds(0.5);
      c.ll128.rate = gigabytes(11.2);
      c.simple.first_use = microseconds(12.5);
      c.simple.step_overhead = microseconds(0.7);
      c.simple.rate = gigabytes(15.1);
      c.simple.local_rate = gigabytes(32.7);
      c.point_to_point_rate = gigabytes(19.1);
      c.point_to_point_first_use = microseconds(1.5);
      c.point_to_point_overhead = microseconds(0.35);
      c.in_switch_rate = gigabytes(4.28);
      c.in_switch_first_use = microseconds(50);
      c.shot_start = microseconds(1.8);
      c.shot_rate = gigabytes(34);
      break;
    case hardware::TensorCoreGeneration::tcgen05:
      c.start = microseconds(6.9);
      c.channel_search = gigabytes(22.5);
      c.ll.step_overhead = microseconds(0.75);
      c.ll.rate = gigabytes(11.6);
      c.ll.local_rate = gigabytes(7.9);
      c.ll128.first_use = microseconds(3);
      c.ll128.step_overhead = microseconds(0.5);
      c.ll128.rate = gigabytes(16.9);
      c.simple.first_use = microseconds(2.5);
      c.simple.step_overhead = microseconds(2.47);
      c.simple.rate = gigabytes(22.4);
      c.simple.local_rate = gigabytes(38.7);
      c.point_to_point_rate = gigabytes(32.6);
      c.point_to_point_first_use = microseconds(2);
      c.point_to_point_overhead = microseconds(1.2);
      c.in_switch_rate = gigabytes(7.0);
      c.in_switch_first_use = microseconds(22);
      c.shot_start = microseconds(3.2);
      c.shot_rate = gigabytes(60);
      break;
  }
  return c;
}

const ProtocolConstants& protocol_constants(const CollectiveConstants& constants, CollectiveProtocol protocol) {
  switch (protocol) {
    case CollectiveProtocol::ll:
      return constants.ll;
    case CollectiveProtocol::ll128:
      return constants.ll128;
    case CollectiveProtocol::simple:
      break;
  }
  return constants.simple;
}

}  // namespace lightcone::scenarios
