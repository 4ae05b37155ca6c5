// SPDX-License-Identifier: Apache-2.0
// Many short first-in first-out queues of times in one pool: what has arrived on each channel, and which credits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace lightcone::hardware {

class TimeQueues {
 public:
  struct Queue {
    std::uint32_t head = kEnd, tail = kEnd;
    [[nodiscard]] bool empty() const { return head == kEnd; }
  };

  // No earlier than what is in the queue: messages do not overtake.
  void push(Queue& queue, std::uint64_t time) {
    const std::uint32_t node = take();
    nodes_[node] = {queue.empty() ? time : std::max(time, nodes_[queue.tail].time), kEnd};
    (queue.empty() ? queue.head : nodes_[queue.tail].next) = node;
    queue.tail = node;
  }
  void pop(Queue& queue) {
    free_.push_back(queue.head);
    queue.head = nodes_[queue.head].next;
  }
  [[nodiscard]] std::uint64_t first(const Queue& queue) const { return nodes_[queue.head].time; }

 private:
  static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
  struct Node {
    std::uint64_t time = 0;
    std::uint32_t next = kEnd;
  };
  std::uint32_t take() {
    if (free_.empty()) {
      nodes_.emplace_back();
      return static_cast<std::uint32_t>(nodes_.size() - 1);
    }
    const std::uint32_t node = free_.back();
    free_.pop_back();
    return node;
  }
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_;
};

}  // namespace lightcone::hardware
