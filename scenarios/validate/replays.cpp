// SPDX-License-Identifier: Apache-2.0
// aiconfigurator's collectors (collector/helper.py: benchmark_with_power; collector/{vllm,sglang,trtllm}/collect_*.py,
// as of the versions that the rows name) capture some calls in one graph and replay it a few times back to back.
#include "scenarios/validate/replays.h"

#include <array>
#include <string_view>

#include "scenarios/validate/row_parts.h"

namespace lightcone::scenarios {

namespace {

struct Loop {
  std::string_view op;  // start of the row's op
  KernelLibrary library;
  std::uint32_t calls, replays;
};

constexpr KernelLibrary kAny = KernelLibrary::automatic;
constexpr std::array<Loop, 14> kLoops{{
    {"attention_", KernelLibrary::sglang, 1, 20},
    {"attention_", kAny, 1, 6},
    {"mla_", KernelLibrary::sglang, 1, 20},
    {"mla_", kAny, 1, 6},
    {"gemm", KernelLibrary::tensorrt_llm, 5, 6},
    {"gemm", kAny, 6, 6},
    {"bmm", kAny, 1, 10},
    {"elementwise", kAny, 5, 6},
    {"moe", KernelLibrary::sglang, 5, 10},
    {"linear_attention", KernelLibrary::tensorrt_llm, 1, 10},
    {"linear_attention", kAny, 10, 10},
    {"causal_conv1d", KernelLibrary::tensorrt_llm, 1, 10},
    {"causal_conv1d", kAny, 10, 10},
    {"scan", kAny, 1, 10},
}};

}  // namespace

std::uint32_t calls_measured(const OperatingPoint& point, KernelLibrary library) {
  if (!starts_with(point.source, "aiconfigurator:")) return 0;
  // Drawn loads: several routings in one graph that is replayed once; an even load: one call, replayed.
  if (point.op == "moe" && library != KernelLibrary::sglang) return point.text("dist") == "balanced" ? 6 : 5;
  for (const Loop& loop : kLoops) {
    if (starts_with(point.op, loop.op) && (loop.library == kAny || loop.library == library)) {
      return loop.calls * loop.replays;
    }
  }
  return 0;
}

}  // namespace lightcone::scenarios
