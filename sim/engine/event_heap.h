// SPDX-License-Identifier: Apache-2.0
// What happens next, where gaps are too long for a timing wheel: a heap by time, and at the same time by a key that
// says the order, so that a result never depends on the order of insertion. Four children per entry: half as deep as a
// binary heap, and the children share a cache line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lightcone::engine {

struct TimedEvent {
  std::uint64_t time = 0;
  std::uint64_t key = 0;  // order at the same time; may also say what happens
};

class EventHeap {
 public:
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] const TimedEvent& first() const { return heap_.front(); }

  void push(TimedEvent event) {
    std::size_t i = heap_.size();
    heap_.push_back(event);
    while (i > 0) {
      const std::size_t parent = (i - 1) / kChildren;
      if (!earlier(event, heap_[parent])) break;
      heap_[i] = heap_[parent];
      i = parent;
    }
    heap_[i] = event;
  }

  TimedEvent pop() {
    const TimedEvent top = heap_.front();
    const TimedEvent last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) sink(last);
    return top;
  }

 private:
  static constexpr std::size_t kChildren = 4;

  static bool earlier(const TimedEvent& a, const TimedEvent& b) {
    return a.time != b.time ? a.time < b.time : a.key < b.key;
  }
  // Puts `event` in the place of the first one, then below all that are earlier.
  void sink(const TimedEvent& event) {
    std::size_t i = 0;
    for (std::size_t first = 1; first < heap_.size(); first = i * kChildren + 1) {
      const std::size_t end = std::min(first + kChildren, heap_.size());
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (earlier(heap_[child], heap_[least])) least = child;
      }
      if (!earlier(heap_[least], event)) break;
      heap_[i] = heap_[least];
      i = least;
    }
    heap_[i] = event;
  }

  std::vector<TimedEvent> heap_;
};

}  // namespace lightcone::engine
