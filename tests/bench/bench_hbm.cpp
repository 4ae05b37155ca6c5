// SPDX-License-Identifier: Apache-2.0
// Speed of the HBM model: requests per CPU-second, and the bandwidth they see, over the channels of a GPU.
// bench_hbm [requests [pattern]]
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string_view>
#include <vector>

#include "hardware/parts/hbm_address.h"
#include "hardware/parts/hbm_channel.h"
#include "hardware/parts/hbm_presets.h"

namespace {

using namespace lightcone;
using namespace lightcone::hardware;

struct Lane {
  explicit Lane(const HbmSpec& spec) : channel(spec) {}
  HbmChannel channel;
  std::uint64_t wake = 0;
  std::size_t next = 0;
  std::vector<HbmRequest> requests;  // in order
};

struct Pattern {
  const char* name;
  std::uint32_t bytes;
  bool random;
  std::uint32_t write_every;  // 0: none
  bool copy;                  // the writes are a stream of their own
};
constexpr Pattern kPatterns[] = {{"sequential", 64, false, 0, false}, {"sequential128", 128, false, 0, false},
                                 {"random", 64, true, 0, false},      {"random32", 32, true, 0, false},
                                 {"random33w", 64, true, 3, false},   {"third_writes", 64, false, 3, false},
                                 {"copy", 64, false, 2, true},        {"copy128", 128, false, 2, true}};

std::vector<HbmRequest> requests_of(const Pattern& pattern, std::size_t count) {
  std::mt19937_64 generator(1);
  std::vector<HbmRequest> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    const bool write = pattern.write_every != 0 && i % pattern.write_every == pattern.write_every - 1;
    std::uint64_t address = i * pattern.bytes;
    if (pattern.copy) address = i / 2 * pattern.bytes + (i % 2 << 36);
    if (pattern.random) address = generator() % (std::uint64_t{1} << 34) / pattern.bytes * pattern.bytes;
    requests[i] = {address, pattern.bytes, write, 0};
  }
  return requests;
}

// Every channel gets its share of the addresses, keeps its queue full, and runs to the end.
void run(const Pattern& pattern, const HbmPreset& preset, std::uint32_t channels,
         const std::vector<HbmRequest>& requests) {
  HbmSpec spec;
  apply(preset, spec);
  const HbmAddressMap map(channels, Bytes(256));
  std::vector<Lane> lanes(channels, Lane(spec));
  for (HbmRequest request : requests) {
    const HbmAddressMap::Place place = map.place(request.local_address);
    request.local_address = place.local;
    lanes[place.channel].requests.push_back(request);
  }
  std::vector<HbmCompletion> done;
  std::uint64_t end = 0, completed = 0, ticks = 0;
  const std::clock_t start = std::clock();
  for (std::uint64_t now = 0; now != kNever;) {
    std::uint64_t earliest = kNever;
    for (Lane& lane : lanes) {
      if (lane.wake == now) {
        while (lane.next < lane.requests.size() && lane.channel.can_accept()) {
          lane.channel.accept(lane.requests[lane.next++], now);
        }
        lane.wake = lane.channel.tick(now, done);
        ++ticks;
      }
      earliest = std::min(earliest, lane.wake);
    }
    for (const HbmCompletion& completion : done) end = std::max(end, completion.cycle);
    completed += done.size();
    done.clear();
    now = earliest;
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  std::uint64_t data = 0;
  for (const Lane& lane : lanes) data += lane.channel.stats().data_bus_cycles;
  std::printf("%-16s %4u channels  %-13s  %6.2f M requests per CPU-second  %5.1f %% of peak  %.2f ticks per request\n",
              preset.name.data(), channels, pattern.name, static_cast<double>(completed) / seconds / 1e6,
              100.0 * static_cast<double>(data) / static_cast<double>(end) / channels,
              static_cast<double>(ticks) / static_cast<double>(completed));
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2'000'000;
  for (const Pattern& pattern : kPatterns) {
    if (argc > 2 && std::string_view(argv[2]) != pattern.name) continue;
    const std::vector<HbmRequest> requests = requests_of(pattern, count);
    for (const HbmPreset& preset : {kHbm2Preset, kHbm3Preset}) {
      for (const std::uint32_t channels : {16u, 80u, 160u}) run(pattern, preset, channels, requests);
    }
  }
}
