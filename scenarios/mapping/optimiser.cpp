// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/optimiser.h"

#include <fmt/core.h>

#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/stream_program.h"

namespace lightcone::scenarios {

using namespace hardware;

TileProgram adamw_program(const models::AdamW& op) {
  constexpr std::uint64_t kChunk = 65536, kThreads = 512, kPerThread = 4;
  constexpr std::uint64_t kLaneOps = 18;  // its FLOPs, fused where they can be, conversions of gradient and weight
  const models::Cost cost = models::cost(models::Operator(models::AdamW{1, op.weight, op.gradient, op.master}));
  StreamShape shape;
  shape.units = op.parameters;
  shape.units_per_turn = kThreads * kPerThread;
  shape.turns = kChunk / shape.units_per_turn;
  shape.threads = kThreads;
  shape.registers = 64;
  const auto bits = [](NumberFormat format) { return std::uint64_t{info(format).bits}; };
  std::vector<Stream> streams{{"gradients", bits(op.gradient), StreamUse::read, Residency::cold},
                              {"first_moment", 32, StreamUse::update, Residency::cold},
                              {"second_moment", 32, StreamUse::update, Residency::cold}};
  if (op.master) streams.push_back({"master", 32, StreamUse::update, Residency::cold});
  streams.push_back({"weights", bits(op.weight), op.master ? StreamUse::write : StreamUse::update, Residency::cold});
  const std::uint64_t values = shape.units_per_turn;
  const std::uint64_t accesses = values / kPerThread * (streams.size() + 3);
  return stream_program(
      fmt::format("adamw_{}_{}", name(op.weight), name(op.gradient)), shape, streams,
      {lane_work(kLaneOps * values, 2 * accesses, cost.special * values, 60, cost.vector_flops.count() * values)});
}

}  // namespace lightcone::scenarios
