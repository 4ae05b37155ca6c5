// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "catch.h"
#include "hardware/parts/dram_timing.h"
#include "hardware/parts/hbm_address.h"
#include "hardware/parts/hbm_channel.h"
#include "hardware/parts/hbm_presets.h"

namespace lightcone::hardware {
namespace {

using enum DramCommand;

HbmSpec spec_of(const HbmPreset& preset, std::uint32_t queue_depth = 64) {
  HbmSpec spec;
  apply(preset, spec);
  spec.queue_depth = queue_depth;
  return spec;
}

HbmSpec without_refresh(HbmSpec spec) {
  spec.timing.nREFI = spec.timing.nREFIpb = 0;
  return spec;
}

struct Access {
  std::uint64_t address;
  std::uint32_t bytes = 64;
  bool write = false;
};

struct Run {
  HbmStats stats;
  std::vector<HbmCompletion> completions;
  std::vector<IssuedCommand> commands;
  std::uint64_t end = 0;  // CK: last data on the pins
  double bandwidth = 0;   // fraction of peak
};

// Keeps the queue full until all accesses are accepted, then drains.
Run play(const HbmSpec& spec, const std::vector<Access>& accesses) {
  HbmChannel channel(spec);
  Run run;
  channel.listen([&](const IssuedCommand& c) {
    run.commands.push_back(c);
    if (c.command == read) run.end = std::max(run.end, c.cycle + spec.timing.nCL + spec.timing.nBL);
    if (c.command == write) run.end = std::max(run.end, c.cycle + spec.timing.nCWL + spec.timing.nBL);
  });
  std::uint64_t now = 0;
  for (std::size_t next = 0;;) {
    while (next < accesses.size() && channel.can_accept()) {
      channel.accept({accesses[next].address, accesses[next].bytes, accesses[next].write, next}, now);
      ++next;
    }
    const std::uint64_t wake = channel.tick(now, run.completions);
    if (wake == kNever && next == accesses.size()) break;
    REQUIRE((wake == kNever || wake > now));
    if (wake != kNever) now = wake;
  }
  // As on the pins: the bursts of two requests interleave.
  std::stable_sort(run.commands.begin(), run.commands.end(),
                   [](const IssuedCommand& a, const IssuedCommand& b) { return a.cycle < b.cycle; });
  run.stats = channel.stats();
  run.bandwidth = static_cast<double>(run.stats.data_bus_cycles) / static_cast<double>(run.end);
  return run;
}

std::vector<Access> sequential(std::size_t count, std::size_t write_every = 0) {
  std::vector<Access> accesses;
  for (std::size_t i = 0; i < count; ++i) {
    accesses.push_back({i * 64, 64, write_every != 0 && i % write_every == write_every - 1});
  }
  return accesses;
}

// Two streams, one read and one written, as a copy makes them.
std::vector<Access> copy(std::size_t count) {
  std::vector<Access> accesses;
  for (std::size_t i = 0; i < count; ++i) accesses.push_back({i / 2 * 64 + (i % 2 << 28), 64, i % 2 == 1});
  return accesses;
}

std::vector<Access> random_accesses(std::size_t count, unsigned seed, double write_fraction = 0, bool mixed = false,
                                    std::uint32_t size = 64) {
  std::mt19937_64 random(seed);
  std::vector<Access> accesses;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bytes = mixed ? 32u << (random() % 3) : size;
    const bool is_write = static_cast<double>(random() % 1000) < write_fraction * 1000;
    // Half of the mixed stream stays within 64 KiB, so that hits, conflicts and turnarounds meet.
    const std::uint64_t space = mixed && random() % 2 == 0 ? 1u << 16 : 1u << 29;
    accesses.push_back({random() % space / bytes * bytes, bytes, is_write});
  }
  return accesses;
}

// The rules once more, checked against every pair of commands near enough to matter, without the reader's shortcuts.
std::size_t violations(const std::vector<IssuedCommand>& commands, const HbmSpec& spec) {
  const auto rules = timing_rules(spec.timing);
  const auto applies = [&](const TimingRule& rule, std::uint32_t a, std::uint32_t b) {
    const bool same_group = a / spec.banks_per_group == b / spec.banks_per_group;
    switch (rule.scope) {
      case RuleScope::same_bank:
        return a == b;
      case RuleScope::same_bank_group:
        return same_group;
      case RuleScope::other_bank_group:
        return !same_group;
      case RuleScope::channel:
        break;
    }
    return true;
  };
  std::size_t broken = 0;
  for (std::size_t later = 0; later < commands.size(); ++later) {
    for (const TimingRule& rule : rules) {
      if (rule.to != commands[later].command) continue;
      std::uint32_t seen = 0;
      for (std::size_t back = 1; back <= std::min<std::size_t>(later, 600) && seen < rule.window; ++back) {
        const IssuedCommand& earlier = commands[later - back];
        if (earlier.command != rule.from || !applies(rule, earlier.bank, commands[later].bank)) continue;
        if (++seen == rule.window && commands[later].cycle < earlier.cycle + rule.distance) ++broken;
      }
    }
  }
  return broken;
}

// Reads and writes only to the open row, activations only of a closed bank, refresh only with the rows closed.
std::size_t state_errors(const std::vector<IssuedCommand>& commands) {
  std::map<std::uint32_t, std::uint32_t> open;
  std::size_t errors = 0;
  for (const IssuedCommand& c : commands) {
    const auto row = open.find(c.bank);
    if (c.command == activate) {
      errors += row != open.end();
      open[c.bank] = c.row;
    } else if (c.command == read || c.command == write) {
      errors += row == open.end() || row->second != c.row;
    } else if (c.command == precharge) {
      errors += open.erase(c.bank) != 1;
    } else if (c.command == precharge_all) {
      open.clear();
    } else if (c.command == refresh) {
      errors += !open.empty();
    } else {
      errors += row != open.end();
    }
  }
  return errors;
}

}  // namespace

TEST_CASE("every timing rule holds to the cycle: blocked at n-1, ready at n") {
  for (const HbmPreset& preset : kHbmPresets) {
    const HbmTiming& t = preset.timing;
    const std::uint32_t per_group = preset.banks_per_group;
    const std::uint32_t a = 0, same_group = 1, other_group = per_group;
    struct Case {
      const char* name;
      std::vector<std::pair<DramCommand, std::uint32_t>> before;  // issued as early as allowed
      DramCommand command;
      std::uint32_t bank;
      std::uint64_t distance;  // from the last command issued
    };
    const std::uint64_t write_end = t.nCWL + t.nBL;
    const std::vector<Case> cases{
        {"tRCDRD", {{activate, a}}, read, a, t.nRCDRD},
        {"tRCDWR", {{activate, a}}, write, a, t.nRCDWR},
        {"tRAS", {{activate, a}}, precharge, a, t.nRAS},
        {"tRC", {{activate, a}}, activate, a, t.nRC},
        {"tRP", {{precharge, a}}, activate, a, t.nRP},
        {"tRRD_S", {{activate, a}}, activate, other_group, t.nRRDS},
        {"tRRD_L", {{activate, a}}, activate, same_group, t.nRRDL},
        {"tRTP", {{read, a}}, precharge, a, t.nRTP},
        {"tWR", {{write, a}}, precharge, a, write_end + t.nWR},
        {"tCCD_S", {{read, a}}, read, other_group, t.nCCDS},
        {"tCCD_L", {{read, a}}, read, same_group, t.nCCDL},
        {"tCCD_L write", {{write, a}}, write, same_group, t.nCCDL},
        {"tRTW", {{read, a}}, write, other_group, t.nRTW},
        {"tWTR_S", {{write, a}}, read, other_group, write_end + t.nWTRS},
        {"tWTR_L", {{write, a}}, read, same_group, write_end + t.nWTRL},
        {"tRFC", {{refresh, a}}, activate, other_group, t.nRFC},
        {"tRFCpb", {{refresh_bank, a}}, activate, a, t.nRFCpb},
        {"tRP to refresh", {{precharge_all, a}}, refresh, a, t.nRP},
    };
    for (const Case& c : cases) {
      INFO(preset.name << ' ' << c.name);
      DramTiming timing(timing_rules(t), preset.bank_groups, per_group);
      std::uint64_t cycle = 1000;
      for (const auto& [command, bank] : c.before) {
        cycle = std::max(cycle, timing.earliest(command, bank));
        timing.issue(command, bank, cycle);
      }
      CHECK_FALSE(timing.ready(c.command, c.bank, cycle + c.distance - 1));
      CHECK(timing.ready(c.command, c.bank, cycle + c.distance));
    }
  }
}

TEST_CASE("tFAW: the fifth activation waits for the first of the last four") {
  const HbmTiming& t = kHbm3Preset.timing;  // nFAW 24 > 4 x nRRDS 4
  DramTiming timing(timing_rules(t), 4, 4);
  for (std::uint32_t i = 0; i < 4; ++i) timing.issue(activate, 4 * i, 100 + std::uint64_t{i} * t.nRRDS);
  CHECK_FALSE(timing.ready(activate, 1, 100 + t.nFAW - 1));
  CHECK(timing.ready(activate, 1, 100 + t.nFAW));
  timing.issue(activate, 1, 100 + t.nFAW);
  CHECK_FALSE(timing.ready(activate, 5, 100 + t.nRRDS + t.nFAW - 1));  // the window slides to the second
  CHECK(timing.ready(activate, 5, 100 + t.nRRDS + t.nFAW));
}

TEST_CASE("peak bandwidth is one burst per nBL clocks and pseudo-channel, at any data rate") {
  for (const HbmPreset& preset : kHbmPresets) {
    for (const double rate : {preset.gigabits_per_second_per_pin, 3.19, 5.23}) {
      INFO(preset.name << " at " << rate);
      HbmSpec spec = spec_of(preset);
      spec.gigabits_per_second_per_pin = rate;
      spec.timing = scaled(preset.timing, rate, preset.bits_per_clock);
      const double per_channel = spec.peak().count() / spec.pseudo_channels();
      CHECK(spec.access.real() / (spec.timing.nBL * spec.timing.tCK.real() * 1e-12) ==
            Approx(per_channel).epsilon(2e-3));  // tCK is rounded to a picosecond
      CHECK(memory_clock(spec).count() == Approx(rate * 1e9 / preset.bits_per_clock));
    }
  }
}

TEST_CASE("scaling to another data rate keeps nanoseconds, and the own rate changes nothing") {
  for (const HbmPreset& preset : kHbmPresets) {
    const HbmTiming same = scaled(preset.timing, preset.gigabits_per_second_per_pin, preset.bits_per_clock);
    CHECK(same.nRCDRD == preset.timing.nRCDRD);
    CHECK(same.nRFC == preset.timing.nRFC);
    CHECK(same.nREFI == preset.timing.nREFI);
    CHECK(same.tCK == preset.timing.tCK);
  }
  const HbmTiming a100 = scaled(kHbm2Preset.timing, 3.19, kHbm2BitsPerClock);
  CHECK(a100.tCK.count() == 627);
  CHECK(a100.nRCDRD == 23);   // 14 ns / 0.627 ns = 22.3
  CHECK(a100.nCCDL == 4);     // defined in clocks
  CHECK(a100.nREFI == 6220);  // 3900 ns, rounded down
  CHECK(a100.nRC >= a100.nRAS + a100.nRP);
  CHECK(with_density(a100, kHbm2RefreshTimes, 8).nRFC == 559);  // 350 ns
}

TEST_CASE("an unloaded read takes activate, column and burst, to the cycle") {
  for (const HbmPreset& preset : kHbmPresets) {
    const HbmTiming& t = preset.timing;
    const Run one = play(spec_of(preset), {{0, 32}});
    REQUIRE(one.completions.size() == 1);
    CHECK(one.completions[0].cycle == t.nRCDRD + t.nCL + t.nBL);
    // The bursts of a line lie in one row, nCCDL apart.
    const Run line = play(spec_of(preset), {{0, 128}});
    CHECK(line.completions[0].cycle == t.nRCDRD + 3 * t.nCCDL + t.nCL + t.nBL);
    CHECK(line.stats.activates == 1);
    // Two lines lie in two bank groups: the second row opens nRRDS later, and its bursts use the slots in between.
    const Run two = play(spec_of(preset), {{0, 128}, {128, 128}});
    const std::uint64_t offset = (t.nRRDS + t.nCCDS - 1) / t.nCCDS * t.nCCDS;
    const std::uint64_t slot = offset % t.nCCDL == 0 ? offset + t.nCCDS : offset;
    CHECK(two.completions[1].cycle == slot + t.nRCDRD + 3 * t.nCCDL + t.nCL + t.nBL);
  }
}

TEST_CASE("a write is done when buffered, and its data still crosses the pins") {
  const HbmTiming& t = kHbm3Preset.timing;
  const Run run = play(spec_of(kHbm3Preset), {{0, 32, true}});
  REQUIRE(run.completions.size() == 1);
  CHECK(run.completions[0].cycle == 0);
  CHECK(run.end == t.nRCDWR + t.nCWL + t.nBL);
  CHECK(run.stats.bytes_written == 32);
}

TEST_CASE("the channel map is bijective, and every run visits each channel once") {
  for (const std::uint32_t channels : {16u, 80u, 96u, 160u, 192u}) {
    const HbmAddressMap map(channels, 256_B);
    std::set<std::pair<std::uint32_t, std::uint64_t>> seen;
    for (std::uint64_t run = 0; run < 20; ++run) {
      std::set<std::uint32_t> visited;
      for (std::uint64_t i = 0; i < channels; ++i) {
        const std::uint64_t address = (run * channels + i) * 256 + i % 256;
        const HbmAddressMap::Place place = map.place(address);
        CHECK(place.local == run * 256 + i % 256);
        CHECK(map.address(place) == address);
        visited.insert(place.channel);
        seen.insert({place.channel, place.local});
      }
      CHECK(visited.size() == channels);
    }
    CHECK(seen.size() == 20 * channels);
  }
}

TEST_CASE("power-of-two strides spread over the channels") {
  for (const std::uint32_t channels : {64u, 80u, 160u}) {
    const HbmAddressMap map(channels, 256_B);
    for (std::uint64_t stride = 4096; stride <= 1 << 24; stride *= 2) {
      std::map<std::uint32_t, int> load;
      const int accesses = static_cast<int>(channels) * 64;
      for (int i = 0; i < accesses; ++i) ++load[map.place(static_cast<std::uint64_t>(i) * stride).channel];
      int worst = 0;
      for (const auto& [channel, count] : load) worst = std::max(worst, count);
      INFO(channels << " channels, stride " << stride << ", worst " << worst << " of mean 64");
      CHECK(worst < 4 * 64);
    }
  }
}

TEST_CASE("the bank map is bijective, keeps a line in one row, and neighbouring lines in different bank groups") {
  for (const HbmPreset& preset : kHbmPresets) {
    const HbmSpec spec = spec_of(preset);
    const HbmBankMap map(spec);
    std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>> seen;
    const std::uint64_t bursts = 40 * 16 * spec.page.count() / spec.access.count();  // 40 rows of every bank
    for (std::uint64_t i = 0; i < bursts; ++i) {
      const BankPlace place = map.place(i * 32);
      CHECK(place.bank_group < spec.bank_groups);
      CHECK(place.bank < spec.banks_per_group);
      CHECK(place.column < spec.page.count() / spec.access.count());
      seen.insert({place.bank_group, place.bank, place.row, place.column});
      const BankPlace line = map.place(i / 4 * 128);
      CHECK(place == BankPlace{line.bank_group, line.bank, line.row, line.column + static_cast<std::uint32_t>(i % 4)});
      if (i % 16 >= 4) CHECK(map.place(i * 32 - 128).bank_group != place.bank_group);
    }
    CHECK(seen.size() == bursts);
  }
}

TEST_CASE("bus slots: a request's bursts are a stride apart, another's fit between them, a third waits") {
  BurstSlots bus(2, 4);
  CHECK(bus.first_free(101) == 101);
  CHECK(bus.take(101, 4) == 113);    // 101 105 109 113
  CHECK(bus.first_free(90) == 103);  // never before what is under way
  CHECK(bus.first_free(102) == 103);
  CHECK(bus.first_free(103) == 103);
  CHECK(bus.first_free(104) == 107);
  CHECK(bus.take(103, 2) == 107);  // 103 107
  CHECK(bus.first_free(103) == 111);
  CHECK(bus.take(111, 1) == 111);
  CHECK(bus.first_free(112) == 115);
  CHECK(bus.first_free(116) == 116);  // nothing under way: any cycle
  BurstSlots one_group(4, 4);
  CHECK(one_group.take(10, 4) == 22);
  CHECK(one_group.first_free(11) == 26);
  CHECK(BurstSlots(1, 64).stride() == 64);
  CHECK(BurstSlots(1, 20).stride() == 21);  // seven slots of three
  BurstSlots three(2, 5);                   // rounded up to three slots
  CHECK(three.stride() == 6);
  three.take(0, 2);
  CHECK(three.first_free(0) == 2);
  three.take(2, 2);
  CHECK(three.first_free(0) == 4);
  three.take(4, 2);
  CHECK(three.first_free(0) == 12);
}

TEST_CASE("sequential reads reach the bandwidth that refresh leaves") {
  const Run hbm2 = play(spec_of(kHbm2Preset), sequential(60000));
  CHECK(hbm2.bandwidth > 0.92);
  CHECK(hbm2.bandwidth < 0.95);
  const Run hbm3 = play(spec_of(kHbm3Preset), sequential(60000));
  CHECK(hbm3.bandwidth > 0.90);
  CHECK(hbm3.bandwidth < 0.92);
  for (const HbmPreset& preset : kHbmPresets) {
    INFO(preset.name);
    const Run run = play(spec_of(preset), sequential(60000));
    CHECK(run.bandwidth < 1.0 - static_cast<double>(preset.timing.nRFC) / preset.timing.nREFI);
  }
}

TEST_CASE("refresh costs bandwidth, and per-bank refresh costs less") {
  for (const HbmPreset& preset : {kHbm2Preset, kHbm3Preset}) {
    HbmSpec per_bank = spec_of(preset);
    per_bank.per_bank_refresh = true;
    const Run with = play(spec_of(preset), sequential(60000));
    const Run bank = play(per_bank, sequential(60000));
    const Run none = play(without_refresh(spec_of(preset)), sequential(60000));
    CHECK(none.stats.refreshes == 0);
    CHECK(none.bandwidth > 0.99);
    CHECK(with.bandwidth < none.bandwidth - 0.05);
    CHECK(bank.bandwidth > with.bandwidth);
    // As many refreshes as intervals have passed, within those that may be postponed.
    const auto intervals = with.end / preset.timing.nREFI;
    CHECK(with.stats.refreshes <= intervals);
    CHECK(with.stats.refreshes + HbmChannel::kRefreshBatch > intervals);
  }
}

TEST_CASE("random reads are bound by activations") {
  // One burst from each row, the case that other DRAM simulators report: 30 % for HBM3.
  const Run single = play(spec_of(kHbm3Preset), random_accesses(30000, 1, 0, false, 32));
  CHECK(single.bandwidth > 0.24);
  CHECK(single.bandwidth < 0.32);
  for (const HbmPreset& preset : {kHbm2Preset, kHbm3Preset}) {
    const HbmTiming& t = preset.timing;
    for (const std::uint32_t bursts : {1u, 2u}) {
      INFO(preset.name << ", bursts per row " << bursts);
      const double data = bursts * t.nBL;
      const double bound = std::min({1.0, 4 * data / t.nFAW, data / t.nRRDS});
      const Run run = play(spec_of(preset), random_accesses(30000, 2, 0, false, 32 * bursts));
      CHECK(run.bandwidth < bound);
      CHECK(run.bandwidth > 0.8 * bound);
      CHECK(run.stats.activates < run.stats.reads * 101 / 100);  // a refresh may close a row before its use
      CHECK(run.stats.activates > run.stats.reads * 98 / 100);
    }
  }
}

TEST_CASE("writes cost turnarounds, which the write buffer keeps rare") {
  struct Band {
    const HbmPreset& preset;
    double third_low, third_high, copy_low, copy_high;
  };
  // Copies on GPUs reach 85 to 92 % of peak.
  for (const Band& band : {Band{kHbm2Preset, 0.85, 0.91, 0.85, 0.90}, Band{kHbm3Preset, 0.78, 0.85, 0.82, 0.86}}) {
    const HbmTiming& t = band.preset.timing;
    const Run reads = play(spec_of(band.preset), sequential(60000));
    const Run third = play(spec_of(band.preset), sequential(60000, 3));
    const Run copies = play(spec_of(band.preset), copy(60000));
    INFO(band.preset.name << ": 33 % writes " << third.bandwidth << ", copy " << copies.bandwidth);
    CHECK(third.bandwidth > band.third_low);
    CHECK(third.bandwidth < band.third_high);
    CHECK(copies.bandwidth > band.copy_low);
    CHECK(copies.bandwidth < band.copy_high);
    for (const Run& run : {third, copies}) {
      CHECK(run.stats.turnarounds > 100);
      // At least the gaps that the rules demand are lost, besides refresh.
      const double gaps = static_cast<double>(run.stats.turnarounds) / 2 * (t.nRTW - t.nBL + t.nCWL + t.nWTRS);
      CHECK(run.bandwidth < reads.bandwidth - 0.9 * gaps / static_cast<double>(run.end));
    }
  }
}

TEST_CASE("no command breaks a timing rule or finds its bank in the wrong state") {
  for (const HbmPreset& preset : kHbmPresets) {
    for (const bool per_bank : {false, true}) {
      HbmSpec spec = spec_of(preset, 32);
      spec.per_bank_refresh = per_bank;
      const Run mixed = play(spec, random_accesses(6000, 7, 0.3, true));
      CHECK(mixed.stats.refreshes > 0);
      CHECK(violations(mixed.commands, spec) == 0);
      CHECK(state_errors(mixed.commands) == 0);
      const Run streams = play(spec, sequential(6000, 3));
      CHECK(violations(streams.commands, spec) == 0);
      CHECK(state_errors(streams.commands) == 0);
      const Run copies = play(spec, copy(6000));
      CHECK(violations(copies.commands, spec) == 0);
      CHECK(state_errors(copies.commands) == 0);
    }
  }
}

TEST_CASE("every request completes exactly once; bytes in equal bytes out; two runs are identical") {
  for (const bool per_bank : {false, true}) {
    HbmSpec spec = spec_of(kHbm3Preset);
    spec.per_bank_refresh = per_bank;
    const std::vector<Access> accesses = random_accesses(20000, 3, 0.4, true);
    const Run run = play(spec, accesses);
    std::vector<int> times(accesses.size(), 0);
    for (const HbmCompletion& c : run.completions) ++times[c.tag];
    CHECK(std::all_of(times.begin(), times.end(), [](int n) { return n == 1; }));
    std::uint64_t bytes_read = 0, bytes_written = 0;
    for (const Access& a : accesses) (a.write ? bytes_written : bytes_read) += a.bytes;
    CHECK(run.stats.bytes_read == bytes_read);
    CHECK(run.stats.bytes_written == bytes_written);
    CHECK(run.stats.reads + run.stats.writes == accesses.size());
    CHECK(run.stats.data_bus_cycles == (bytes_read + bytes_written) / 32 * spec.timing.nBL);
    CHECK(run.stats.activates == run.stats.row_misses + run.stats.row_conflicts);
    CHECK(run.stats.row_hits + run.stats.activates >= (bytes_read + bytes_written) / 32);

    const Run again = play(spec, accesses);
    CHECK(run.stats == again.stats);
    REQUIRE(run.completions.size() == again.completions.size());
    CHECK(std::equal(
        run.completions.begin(), run.completions.end(), again.completions.begin(),
        [](const HbmCompletion& x, const HbmCompletion& y) { return x.tag == y.tag && x.cycle == y.cycle; }));
  }
}

TEST_CASE("the shallowest queues serve everything") {
  for (const std::uint32_t depth : {1u, 2u, 3u}) {
    const HbmSpec spec = spec_of(kHbm3Preset, depth);
    const Run run = play(spec, random_accesses(3000, 11, 0.4, true));
    CHECK(run.completions.size() == 3000);
    CHECK(run.stats.reads + run.stats.writes == 3000);
    CHECK(violations(run.commands, spec) == 0);
    CHECK(state_errors(run.commands) == 0);
  }
}

TEST_CASE("a deeper queue never lowers sequential bandwidth") {
  for (const HbmPreset& preset : {kHbm2Preset, kHbm3Preset}) {
    double before = 0;
    for (const std::uint32_t depth : {8u, 16u, 32u, 64u, 128u, 256u}) {
      const double now = play(spec_of(preset, depth), sequential(40000)).bandwidth;
      INFO(preset.name << " depth " << depth << ": " << before << " -> " << now);
      CHECK(now >= before - 0.002);  // within the phase of the last refresh
      before = std::max(before, now);
    }
  }
}

TEST_CASE("row hits do not starve an old request to another row") {
  const HbmSpec spec = spec_of(kHbm3Preset, 16);
  HbmChannel channel(spec);
  const HbmBankMap map(spec);
  // Another row of the same bank as burst 0.
  std::uint64_t other = 32;
  const BankPlace first = map.place(0);
  while (map.place(other).bank != first.bank || map.place(other).bank_group != first.bank_group ||
         map.place(other).row == first.row) {
    other += 32;
  }
  std::vector<HbmCompletion> done;
  std::uint64_t now = 0, sent = 0;
  channel.accept({0, 32, false, 0}, now);
  now = channel.tick(now, done);
  channel.accept({other, 32, false, 1'000'000}, now);
  bool served = false;
  while (!served && sent < 20000) {
    while (channel.can_accept()) channel.accept({sent++ % 8 * 512, 32, false, 1}, now);  // always row hits
    done.clear();
    now = channel.tick(now, done);
    for (const HbmCompletion& c : done) served = served || c.tag == 1'000'000;
  }
  CHECK(served);
  CHECK(sent > HbmChannel::kOvertakeDepths * spec.queue_depth / 2);  // it was overtaken, but not for ever
}

TEST_CASE("an idle channel sleeps, and its refreshes are caught up without being ticked") {
  for (const bool per_bank : {false, true}) {
    HbmSpec spec = spec_of(kHbm2Preset);
    spec.per_bank_refresh = per_bank;
    const std::uint64_t interval = per_bank ? spec.timing.nREFIpb : spec.timing.nREFI;
    HbmChannel channel(spec);
    std::vector<HbmCompletion> done;
    CHECK(channel.tick(0, done) == kNever);
    const std::uint64_t later = 1000 * interval + interval / 2;
    channel.accept({0, 32, false, 5}, later);
    const HbmStats before = channel.stats();
    CHECK(before.refreshes == 1000);
    std::uint64_t now = later;
    while (now != kNever) now = channel.tick(now, done);
    REQUIRE(done.size() == 1);
    CHECK(done[0].cycle == later + spec.timing.nRCDRD + spec.timing.nCL + spec.timing.nBL);
    const HbmStats after = channel.stats() - before;
    CHECK(after.reads == 1);
    CHECK(after.refreshes == 0);
  }
  // A request that meets a refresh under way waits for its end.
  const HbmSpec spec = spec_of(kHbm2Preset);
  HbmChannel channel(spec);
  std::vector<HbmCompletion> done;
  channel.accept({0, 32, false, 5}, spec.timing.nREFI + 10);
  std::uint64_t now = spec.timing.nREFI + 10;
  while (now != kNever) now = channel.tick(now, done);
  CHECK(done[0].cycle == spec.timing.nREFI + spec.timing.nRFC + spec.timing.nRCDRD + spec.timing.nCL + spec.timing.nBL);
}

TEST_CASE("the channel never asks to be ticked each cycle while it only waits") {
  const HbmSpec spec = spec_of(kHbm3Preset);
  HbmChannel channel(spec);
  std::vector<HbmCompletion> done;
  std::uint64_t now = 0, sent = 0, ticks = 0;
  std::mt19937_64 random(5);
  while (sent < 20000) {
    while (channel.can_accept()) {
      channel.accept({random() % (1u << 29) / 64 * 64, 64, false, sent}, now);
      ++sent;
    }
    now = channel.tick(now, done);
    ++ticks;
  }
  CHECK(ticks < 2 * sent);
}

}  // namespace lightcone::hardware
