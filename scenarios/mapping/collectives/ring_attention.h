// SPDX-License-Identifier: Apache-2.0
// Ring attention, message by message (Liu et al. 2023): every rank keeps its block of queries, while blocks of K and V
// go round. In each round a rank sends on what it has, computes with it, and takes what comes; a round ends when both
// are done (ring-flash-attention, zhuzilin: RingComm.send_recv, wait). Whether the messages hide is what comes out.
// The schemes differ in which tokens a rank has: contiguous blocks (`ring`: the last rank computes in every round, the
// first in one), blocks i and 2 P - 1 - i (`zigzag`) or every P-th token (`striped`): half a block pair per round, the
// same for all.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/gpu_spec.h"
#include "hardware/spec/machine_graph.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "workloads/plan_spec.h"

namespace lightcone::scenarios {

// Of one rank: batch, heads and head_dim as they are, q_len = kv_len = its tokens.
struct RingAttention {
  models::Attention block;
  workloads::ContextScheme scheme = workloads::ContextScheme::zigzag;  // ring, zigzag or striped
};

// Time of an operator alone on the GPU, launches included.
using OperatorTime = std::function<Seconds(const models::Operator&)>;
// By the closed form, whatever the fidelity of a run: the kernels of a ring are steps of one program of messages.
OperatorTime closed_form_time(const hardware::GpuSpec& gpu, const MappingOptions& mapping);

// Kernels of each round, and of the sum of its result into the one so far, take the time that `time` says. Throws
// ConfigError for a scheme that is no ring and for one rank.
hardware::MessageProgram ring_attention_program(const RingAttention& op, const std::vector<std::uint32_t>& gpus,
                                                const hardware::MachineGraph& graph, const hardware::GpuSpec& gpu,
                                                const OperatorTime& time);

}  // namespace lightcone::scenarios
