// SPDX-License-Identifier: Apache-2.0
// Which layers stand in which part of a pipeline.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lightcone::workloads {

// Why `layers` cannot be divided over `parts`; empty when they can.
std::string layers_fault(std::uint64_t layers, std::uint64_t parts);

// Number of layers of each part, all equal. Where that does not come out, the head or both embedding and head count as
// a layer of the last and the first part (Megatron-Core: account_for_embedding_in_pipeline_split,
// account_for_loss_in_pipeline_split; Llama 3 405B: 126 layers on 16 stages, Dubey et al. 2024, section 3.3.2).
std::vector<std::uint64_t> divide_layers(std::uint64_t layers, std::uint64_t parts);

}  // namespace lightcone::workloads
