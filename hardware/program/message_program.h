// SPDX-License-Identifier: Apache-2.0
// What a collective is: workers on the ranks, each a short program of steps with loops: receive a message, work on it,
// send one. A worker is one CTA of a communication kernel (a channel of NCCL), a copy engine, or the stream on which a
// rank computes (ring attention): workers of one rank hand over to each other by messages that never leave the GPU.
// Amounts are exact: payload bytes, bytes of local memory; never a measured time. Both evaluators
// (hardware/machine/evaluate_messages.h) read this description, and nothing else, of a collective.
//
// Messages from worker a to worker b arrive in the order in which they were sent; the n-th receive takes the n-th
// message. A sender may be at most `slots` messages ahead of a receiver (the FIFO of NCCL, NCCL_STEPS), whose credits
// come back with the latency of the way.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sim/base/units.h"

namespace lightcone::hardware {

// How a message leaves its worker.
enum class Delivery : std::uint8_t {
  unicast,      // to one worker
  multicast,    // one copy up to the switch, one down to every worker of the group (multimem.st)
  reduced_load  // the switch reads the group's copies, adds them and returns one: a round trip (multimem.ld_reduce)
};

inline constexpr std::uint16_t kNoPeer = std::numeric_limits<std::uint16_t>::max();

// One step: wait for a message of `receive`, compute, work on `bytes`, send `bytes` to `send`. Any part may be absent.
// The work takes step_overhead and then bytes / rate, during which the bytes leave: the link carries them beside the
// work, and the last of them no earlier than the work's end. The next step begins when the work has ended.
struct MessageStep {
  std::uint16_t receive = kNoPeer;  // index into MessageWorker::peers
  std::uint16_t send = kNoPeer;
  Delivery delivery = Delivery::unicast;  // multicast and reduced_load: to the worker's group, `send` is not read
  Bytes bytes;                            // payload that the step moves and works on
  Bytes local_read, local_written;        // of this GPU's memory
  Picoseconds compute;                    // kernels that the step runs before it sends: from their own evaluation
};

// Steps in turn, `repeat` times.
struct MessageSegment {
  std::uint64_t repeat = 1;
  std::vector<MessageStep> steps;
};

// Segments in turn, `repeat` times: the chunks of a pipelined collective.
struct MessageBlock {
  std::uint64_t repeat = 1;
  std::vector<MessageSegment> segments;
};

// What workers of one kind have in common.
struct WorkerClass {
  std::string name;  // "ring simple"
  std::vector<MessageBlock> blocks;
  BytesPerSecond rate{0};        // that the worker's threads copy or reduce at; 0: no limit (copy engine, event)
  BytesPerSecond local_rate{0};  // of steps that send nothing: no remote stores to wait for; 0: as `rate`
  Picoseconds step_overhead;     // of each step that moves bytes: synchronisation among threads, flags, fences
  std::uint32_t slots = 8;       // messages that a sender may be ahead
  double wire_per_payload = 1;   // bytes stored per byte of payload: flags of the protocol (LL 2, LL128 16/15)
  double sms = 0;                // that the worker takes from computation while it lives
};

struct MessageWorker {
  std::uint32_t rank = 0;  // index into MessageProgram::gpus
  std::uint16_t worker_class = 0;
  std::uint16_t path = 0;            // which of several equal ways its messages take (rail, plane): NCCL's channel
  std::vector<std::uint32_t> peers;  // workers, by index
  std::uint32_t group = 0;           // index into MessageProgram::groups, for multicast and reduced_load
};

struct MessageProgram {
  std::string name;                 // "all_reduce_ring_simple_24ch"
  std::vector<std::uint32_t> gpus;  // GPU of the machine graph, by rank
  std::vector<WorkerClass> classes;
  std::vector<MessageWorker> workers;
  std::vector<std::vector<std::uint32_t>> groups;  // ranks that a switch reduces over or copies to
  Picoseconds start;                               // before the first step: launch, hand-shake
  // Ranks that do the same at the same time up to a renumbering, by class; empty: every rank for itself. An evaluator
  // may play one rank per class when the machine graph is as symmetric.
  std::vector<std::uint32_t> symmetry;
};

// Throws std::logic_error when the program is malformed: unknown peer, receives without sends, groups without members.
void check(const MessageProgram& program);

struct MessageTotals {
  std::uint64_t messages = 0;  // that cross a link
  Bytes payload;               // of them
  Bytes wire;                  // with the protocol's flags; without packet headers
  Bytes local_read, local_written;
  Picoseconds longest_compute;  // of one worker
};
MessageTotals totals(const MessageProgram& program);

// 128-bit content hash over every field that an evaluator reads, as 32 hex digits.
std::string content_hash(const MessageProgram& program);

}  // namespace lightcone::hardware
