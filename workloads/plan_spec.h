// SPDX-License-Identifier: Apache-2.0
// How a model is divided over GPUs. The ranks of an axis stand next to each other in the order tensor, context, data,
// pipeline (Megatron-LM's order tp-cp-dp-pp): GPU = t + T (c + C (d + D p)). Experts lie over the ranks of tensor,
// context and data together, `expert` of them at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lightcone::workloads {

enum class PipelineSchedule : std::uint8_t {
  gpipe,        // all forwards, then all backwards (Huang et al. 2019)
  one_f_one_b,  // PipeDream-Flush (Narayanan et al. 2021)
  interleaved,  // the same with several model chunks per stage (Megatron-LM)
  zero_bubble,  // ZB-H1: the gradients of weights fill the bubble (Qi et al. 2024)
};

enum class ContextScheme : std::uint8_t {
  ring,     // contiguous blocks, K and V go round (Liu et al. 2023)
  zigzag,   // rank i holds blocks i and 2 P - 1 - i: equal causal work
  striped,  // token t on rank t mod P (Brandon et al. 2023)
  ulysses,  // all-to-all from tokens to heads and back (Jacobs et al. 2023)
  gather,   // all-gather of K and V, then local attention (Llama 3)
};

constexpr bool is_ring(ContextScheme scheme) {
  return scheme == ContextScheme::ring || scheme == ContextScheme::zigzag || scheme == ContextScheme::striped;
}

struct PlanSpec {
  std::uint32_t tensor = 1;
  bool sequence_parallel = false;  // norms and residuals over the tensor ranks' tokens: reduce-scatter and all-gather
  std::uint32_t context = 1;
  ContextScheme context_scheme = ContextScheme::zigzag;
  std::uint32_t data = 1;
  std::uint32_t zero = 0;  // ZeRO stage: 1 optimiser states, 2 and gradients, 3 and weights (FSDP) over the data ranks
  std::uint32_t pipeline = 1;
  PipelineSchedule schedule = PipelineSchedule::one_f_one_b;
  std::uint32_t chunks = 1;  // model chunks of a stage; more than one: interleaved
  std::uint32_t expert = 1;
  bool automatic = false;  // to be chosen: of what stands above, only context and expert count

  [[nodiscard]] std::uint64_t gpus() const { return std::uint64_t{tensor} * context * data * pipeline; }
};

}  // namespace lightcone::workloads
