// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <vector>

#include "catch.h"
#include "sim/engine/event_heap.h"

using lightcone::engine::EventHeap;
using lightcone::engine::TimedEvent;

TEST_CASE("events leave a heap by time, then by key, whatever the order of insertion") {
  std::mt19937 random(7);
  for (const std::size_t count : {1u, 2u, 5u, 6u, 100u, 5000u}) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> expected, seen;
    EventHeap heap;
    for (std::size_t i = 0; i < count; ++i) {
      expected.emplace_back(random() % 97, i);
    }
    std::shuffle(expected.begin(), expected.end(), random);
    for (const auto& [time, key] : expected) heap.push({time, key});
    std::sort(expected.begin(), expected.end());
    while (!heap.empty()) {
      const TimedEvent event = heap.pop();
      seen.emplace_back(event.time, event.key);
    }
    CHECK(seen == expected);
  }
}

TEST_CASE("events pushed while others leave find their place") {
  EventHeap heap;
  heap.push({5, 0});
  heap.push({1, 0});
  CHECK(heap.pop().time == 1);
  heap.push({3, 2});
  heap.push({3, 1});
  CHECK(heap.first().key == 1);
  CHECK(heap.pop().time == 3);
  CHECK(heap.pop().key == 2);
  CHECK(heap.pop().time == 5);
  CHECK(heap.empty());
}
