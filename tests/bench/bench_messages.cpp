// SPDX-License-Identifier: Apache-2.0
// CPU time and memory of playing collectives message by message: ring all-reduce of 64 MB over 8 to 1,024 GPUs,
// hierarchical over 8 x 128, and folded over 100,000. Printed, not asserted; each in a process of its own.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <functional>

#include "hardware/message_programs.h"
#include "hardware/spec/load.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::hardware::testing;

namespace {

constexpr Bytes kBytes{64u << 20};

// One level of GPUs on interleaved switches, as an NVSwitch domain without its limit of ports; `nodes` of them on a
// rail-optimised tree.
FabricSpec fabric(std::uint32_t gpus, std::uint32_t nodes) {
  FabricSpec out = *load_machine(nodes > 1 ? "h100_cluster_16384" : "dgx_h100").fabric;
  out.levels[0].size = gpus;
  if (nodes > 1) out.levels[1].size = nodes;
  return out;
}

// Prints and returns CPU seconds, the program and the graph built in the same process.
double bench(const std::string& what, const std::function<MessageProgram()>& program, const FabricSpec& spec,
             bool fold) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    MessageOptions options;
    options.fold = fold;
    const MachineGraph graph(spec);
    const MessageResult result = evaluate_messages_cycle(program(), graph, options);
    getrusage(RUSAGE_SELF, &after);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    const double cpu =
        seconds(after.ru_utime) - seconds(before.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_stime);
    fmt::print("{:28} {:9.4f} CPU s {:7.1f} MB  {:9} messages, {:9.2f} us simulated, {:.3g} of the ranks played\n",
               what, cpu, static_cast<double>(after.ru_maxrss) / 1024, result.messages, result.time.count() * 1e6,
               result.simulated_fraction);
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec) * 1e-6;
}

}  // namespace

int main() {
  for (const std::uint32_t n : {8u, 64u, 512u, 1024u})
    bench(
        fmt::format("ring {}", n), [n] { return ring_all_reduce(n, kBytes); }, fabric(n, 1), false);
  bench(
      "hierarchical 8 x 128", [] { return hierarchical(128, 8, kBytes); }, fabric(8, 128), false);
  // Positions in a pod differ, pods do not: one of them is played.
  for (const std::uint32_t nodes : {256u, 2048u}) {
    bench(
        fmt::format("hierarchical 8 x {} folded", nodes), [nodes] { return hierarchical(nodes, 8, kBytes); },
        fabric(8, nodes), true);
  }
  double few = 0, many = 0;
  for (const std::uint32_t n : {1000u, 10000u, 100000u}) {
    many = bench(
        fmt::format("ring {} folded", n), [n] { return ring_all_reduce(n, kBytes); }, fabric(n, 1), true);
    if (n == 1000) few = many;
  }
  fmt::print("folded: CPU time grows as ranks to the power {:.2f}\n", std::log10(many / few) / 2);
  return 0;
}
