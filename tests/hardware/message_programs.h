// SPDX-License-Identifier: Apache-2.0
// Small message programs for tests and benches of the fabric: rings, an exchange of all with all, one message.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "hardware/machine/evaluate_messages.h"
#include "sim/observe/message_result_io.h"

namespace lightcone::hardware::testing {

inline MessageStep step(std::uint16_t receive, std::uint16_t send, Bytes bytes) {
  MessageStep out;
  out.receive = receive;
  out.send = send;
  out.bytes = bytes;
  return out;
}

inline WorkerClass worker_class(const std::string& name, std::vector<MessageSegment> segments) {
  WorkerClass out;
  out.name = name;
  out.blocks = {{1, std::move(segments)}};
  return out;
}

// Rings of `length` consecutive ranks `stride` apart, each all-reducing `bytes` with as many messages per rank as
// 2 (length - 1) chunks; every rank is in one ring.
inline void add_ring(MessageProgram& program, const std::vector<std::uint32_t>& ranks, std::uint16_t class_index) {
  const auto first = static_cast<std::uint32_t>(program.workers.size());
  const auto n = static_cast<std::uint32_t>(ranks.size());
  for (std::uint32_t i = 0; i < n; ++i) {
    MessageWorker worker;
    worker.rank = ranks[i];
    worker.worker_class = class_index;
    worker.peers = {first + (i + 1) % n, first + (i + n - 1) % n};
    program.workers.push_back(worker);
  }
}

inline WorkerClass ring_class(std::uint32_t n, Bytes bytes) {
  const Bytes chunk(bytes.count() / n);
  return worker_class(
      "ring", {{1, {step(kNoPeer, 0, chunk)}}, {2 * n - 3, {step(1, 0, chunk)}}, {1, {step(1, kNoPeer, chunk)}}});
}

inline MessageProgram ring_all_reduce(std::uint32_t n, Bytes bytes) {
  MessageProgram out;
  out.name = "ring";
  out.classes = {ring_class(n, bytes)};
  for (std::uint32_t r = 0; r < n; ++r) out.gpus.push_back(r);
  add_ring(out, out.gpus, 0);
  out.symmetry.assign(n, 0);
  return out;
}

// Reduce-scatter in the node, ring all-reduce of each part over the nodes, all-gather in the node.
inline MessageProgram hierarchical(std::uint32_t nodes, std::uint32_t local, Bytes bytes) {
  MessageProgram out;
  out.name = "hierarchical";
  const Bytes part(bytes.count() / local), chunk(part.count() / nodes);
  // One worker per rank: peers 0 and 1 in the node, 2 and 3 on the rail.
  out.classes = {worker_class("hierarchical", {{1, {step(kNoPeer, 0, part)}},
                                               {local - 2, {step(1, 0, part)}},
                                               {1, {step(1, kNoPeer, part)}},
                                               {1, {step(kNoPeer, 2, chunk)}},
                                               {2 * nodes - 3, {step(3, 2, chunk)}},
                                               {1, {step(3, kNoPeer, chunk)}},
                                               {1, {step(kNoPeer, 0, part)}},
                                               {local - 2, {step(1, 0, part)}},
                                               {1, {step(1, kNoPeer, part)}}})};
  for (std::uint32_t r = 0; r < nodes * local; ++r) {
    const std::uint32_t node = r / local, i = r % local;
    MessageWorker worker;
    worker.rank = r;
    worker.peers = {node * local + (i + 1) % local, node * local + (i + local - 1) % local,
                    (node + 1) % nodes * local + i, (node + nodes - 1) % nodes * local + i};
    out.gpus.push_back(r);
    out.workers.push_back(worker);
  }
  out.symmetry.assign(out.gpus.size(), 0);
  return out;
}

// Rank r sends to r + 1, r + 2, ... in turn and receives from r - 1, r - 2, ...
inline MessageProgram all_to_all(std::uint32_t n, Bytes each) {
  MessageProgram out;
  out.name = "all_to_all";
  WorkerClass own;
  std::vector<MessageSegment> segments;
  for (std::uint32_t k = 1; k < n; ++k) {
    segments.push_back({1, {step(kNoPeer, static_cast<std::uint16_t>(k - 1), each)}});
    segments.push_back({1, {step(static_cast<std::uint16_t>(n - k - 1), kNoPeer, Bytes(0))}});
  }
  out.classes = {worker_class("all to all", segments)};
  for (std::uint32_t r = 0; r < n; ++r) {
    out.gpus.push_back(r);
    MessageWorker worker;
    worker.rank = r;
    for (std::uint32_t k = 1; k < n; ++k) worker.peers.push_back((r + k) % n);
    out.workers.push_back(worker);
  }
  out.symmetry.assign(n, 0);
  return out;
}

// `count` messages from GPU a to GPU b, which takes them as they come.
inline MessageProgram stream(std::uint32_t a, std::uint32_t b, Bytes each, std::uint64_t count) {
  MessageProgram out;
  out.name = "stream";
  out.gpus = {a, b};
  out.classes = {worker_class("sender", {{count, {step(kNoPeer, 0, each)}}}),
                 worker_class("receiver", {{count, {step(0, kNoPeer, Bytes(0))}}})};
  for (WorkerClass& own : out.classes) own.slots = 1000000;
  MessageWorker sender, receiver;
  sender.peers = {1};
  receiver.rank = 1;
  receiver.worker_class = 1;
  receiver.peers = {0};
  out.workers = {sender, receiver};
  return out;
}

// In a child process: the SystemC kernel is global. On failure the text of the error.
struct Played {
  std::optional<MessageResult> result;
  std::string error;
};
inline Played play(const MessageProgram& program, const MachineGraph& graph, bool fold) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    std::string out;
    try {
      MessageOptions options;
      options.fold = fold;
      out = "R" + serialise(evaluate_messages_cycle(program, graph, options));
    } catch (const std::exception& error) {
      out = std::string("E") + error.what();
    }
    for (std::size_t sent = 0; sent < out.size();) {
      const ssize_t n = write(ends[1], out.data() + sent, out.size() - sent);
      if (n <= 0) _exit(1);
      sent += static_cast<std::size_t>(n);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string bytes;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) bytes.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (bytes.empty()) return {std::nullopt, "the child died"};
  if (bytes.front() == 'E') return {std::nullopt, bytes.substr(1)};
  return {parse_message_result(std::string_view(bytes).substr(1)), {}};
}

}  // namespace lightcone::hardware::testing
