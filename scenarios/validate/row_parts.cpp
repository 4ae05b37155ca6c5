// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/row_parts.h"

#include <array>

namespace lightcone::scenarios {

namespace {

// Sums of a few sizes, and sizes rounded up, stay far from 64 bits; products are checked where they are made.
constexpr std::uint64_t kLargestSize = 1'000'000'000'000'000;

// One row per data set. Sources: the data sets' own documentation of their benchmark loops.
struct SourceRule {
  std::string_view source;  // start of the source column
  KernelLibrary library;
  TimingConvention timing;
  GemmTileList gemm_tiles = GemmTileList::fine;
};
constexpr std::array<SourceRule, 9> kSources{{
    {"aiconfigurator:vllm", KernelLibrary::vllm, TimingConvention::graph_replay},
    {"aiconfigurator:sglang", KernelLibrary::sglang, TimingConvention::graph_replay},
    {"aiconfigurator:trtllm", KernelLibrary::tensorrt_llm, TimingConvention::graph_replay},
    // It runs Sarathi-Serve, a vLLM fork, on the cuBLAS of CUDA 12.1.
    {"vidur", KernelLibrary::vllm, TimingConvention::profiler, GemmTileList::powers_of_two},
    {"neusight", KernelLibrary::pytorch_eager, TimingConvention::eager},
    {"llmcompass", KernelLibrary::pytorch_eager, TimingConvention::eager},
    {"flash-attention", KernelLibrary::automatic, TimingConvention::stream},
    {"lightcone-gpu", KernelLibrary::automatic, TimingConvention::graph_replay},
    {"", KernelLibrary::automatic, TimingConvention::stream},  // cuBLAS loops of the published tables
}};

const SourceRule& source_rule(std::string_view source) {
  for (const SourceRule& rule : kSources) {
    if (starts_with(source, rule.source)) return rule;
  }
  return kSources.back();
}

}  // namespace

std::uint64_t size(const OperatingPoint& point, std::string_view name) {
  const auto value = point.size(name);
  if (!value || *value == 0 || *value > kLargestSize) {
    throw Unsupported{"params: \"" + std::string(name) + "\" must be a whole number from 1 to 10^15"};
  }
  return *value;
}

std::uint64_t size_or(const OperatingPoint& point, std::string_view name, std::uint64_t missing) {
  const std::string text = point.text(name);
  if (text.empty() || text == "null") return missing;
  const auto value = point.size(name);
  if (!value || *value > kLargestSize) {
    throw Unsupported{"params: \"" + std::string(name) + "\" must be a whole number from 0 to 10^15"};
  }
  return *value;
}

bool flag_or(const OperatingPoint& point, std::string_view name, bool missing) {
  const std::string text = point.text(name);
  if (text.empty() || text == "null") return missing;
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  throw Unsupported{"params: \"" + std::string(name) + "\" must be 0 or 1"};
}

NumberFormat format(const std::string& name) {
  const auto parsed = parse_number_format(name);
  if (!parsed) throw Unsupported{"number format \"" + name + "\" is not known"};
  return *parsed;
}

MappedPoint start(const OperatingPoint& point) {
  const SourceRule& rule = source_rule(point.source);
  MappedPoint mapped;
  mapped.options.library = rule.library;
  mapped.options.gemm_tiles = rule.gemm_tiles;
  mapped.timing = rule.timing;
  // Layers of a TensorRT engine ("trt_flow_" and the layer's name): its profiler's times.
  if (starts_with(point.kernel, "trt_flow_")) mapped.timing = TimingConvention::layer_events;
  mapped.options.launch = rule.timing == TimingConvention::stream || rule.timing == TimingConvention::eager
                              ? hardware::LaunchMode::stream
                              : hardware::LaunchMode::graph;
  return mapped;
}

}  // namespace lightcone::scenarios
