// SPDX-License-Identifier: Apache-2.0
// What is asked of a model in one pass: the phase with its batch and lengths, and the formats of the tensors. Plain
// values; workloads/load.h fills them from files. Chunked prefill, batches of unequal lengths and streams of requests
// are not described here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "models/graph/backward.h"
#include "sim/base/number_format.h"

namespace lightcone::workloads {

// The whole prompt of every sequence at once, from an empty KV cache.
struct Prefill {
  std::uint64_t batch = 1;          // sequences
  std::uint64_t prompt_tokens = 1;  // of each
};

// One new token for every sequence.
struct Decode {
  std::uint64_t batch = 1;           // sequences
  std::uint64_t context_tokens = 1;  // that the new token attends to, itself included: at least 2
};

// One optimiser step of AdamW: the gradients of `micro_batches` batches add up.
struct Training {
  std::uint64_t batch = 1;            // sequences of one micro batch
  std::uint64_t sequence_tokens = 1;  // of each
  std::uint64_t micro_batches = 1;
  models::Recomputation recomputation = models::Recomputation::none;
  NumberFormat gradients = NumberFormat::bf16;
};

using Phase = std::variant<Prefill, Decode, Training>;

struct TensorFormats {
  NumberFormat weights = NumberFormat::bf16;
  NumberFormat activations = NumberFormat::bf16;
  NumberFormat kv = NumberFormat::bf16;  // of the KV cache
};

// Kernels replayed as one graph, or launched one by one on a stream: the gap between them differs.
enum class LaunchMode : std::uint8_t { graph, stream };

struct WorkloadSpec {
  std::string name;  // may be empty: a workload written inside a scenario
  Phase phase;
  TensorFormats formats;
  LaunchMode launch = LaunchMode::graph;
};

std::string_view phase_name(const WorkloadSpec& workload);    // "prefill", "decode" or "training"
std::uint64_t batch(const WorkloadSpec& workload);            // sequences (of a micro batch)
std::uint64_t new_tokens(const WorkloadSpec& workload);       // per sequence, that pass through the layers
std::uint64_t attended_tokens(const WorkloadSpec& workload);  // per sequence, in the KV cache after the pass
std::uint64_t micro_batches(const WorkloadSpec& workload);    // 1 but for training

}  // namespace lightcone::workloads
