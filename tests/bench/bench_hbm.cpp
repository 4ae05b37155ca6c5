// SPDX-License-Identifier: Apache-2.0
// Speed of the HBM model: 64-byte requests per CPU-second, and the bandwidth they see, over the channels of a GPU.
#include <cstdio>
#include <ctime>
#include <random>
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

// Every channel gets its share of the addresses, keeps its queue full, and runs to the end.
void run(const char* name, const HbmPreset& preset, std::uint32_t channels,
         const std::vector<std::uint64_t>& addresses) {
  HbmSpec spec;
  apply(preset, spec);
  const HbmAddressMap map(channels, Bytes(256));
  std::vector<Lane> lanes(channels, Lane(spec));
  for (const std::uint64_t address : addresses) {
    const HbmAddressMap::Place place = map.place(address);
    lanes[place.channel].requests.push_back({place.local, 64, false, 0});
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
  std::printf("%-16s %4u channels  %-10s  %6.2f M requests per CPU-second  %5.1f %% of peak  %.2f ticks per request\n",
              preset.name.data(), channels, name, static_cast<double>(completed) / seconds / 1e6,
              100.0 * static_cast<double>(data) / static_cast<double>(end) / channels,
              static_cast<double>(ticks) / static_cast<double>(completed));
}

}  // namespace

int main() {
  constexpr std::size_t kRequests = 2'000'000;
  std::vector<std::uint64_t> sequential(kRequests), random(kRequests);
  std::mt19937_64 generator(1);
  for (std::size_t i = 0; i < kRequests; ++i) {
    sequential[i] = i * 64;
    random[i] = generator() % (std::uint64_t{1} << 34) / 64 * 64;
  }
  for (const HbmPreset& preset : {kHbm2Preset, kHbm3Preset}) {
    for (const std::uint32_t channels : {16u, 80u, 160u}) {
      run("sequential", preset, channels, sequential);
      run("random", preset, channels, random);
    }
  }
}
