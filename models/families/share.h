// SPDX-License-Identifier: Apache-2.0
// The part of a model that one rank has: heads, channels, widths, experts and rows of the vocabulary divided over the
// ranks of tensor and expert parallelism as Megatron-LM does it (Shoeybi et al. 2019; Korthikanti et al. 2022 for
// sequence parallelism; Megatron-Core for experts). The share is a ModelSpec with smaller sizes: its parameters, state
// and operators are those of one rank, with Communication operators where ranks meet. All ranks have equal shares;
// where a size does not divide (the vocabulary), the share is the largest.
//
// On every rank alike: norms, biases behind sums, the stream, latents and other low-rank vectors, routers, token
// shifts, indexers, KV heads and state-space groups that are fewer than the ranks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/model_spec.h"

namespace lightcone::models {

// The share of one rank of `model`. Throws ConfigError with every rule that the division breaks, each with the nearest
// numbers of ranks that it allows; also for kinds of layers that cannot be divided, by name.
ModelSpec share_of(const ModelSpec& model, const Share& share);

// Every rule that the division breaks, in words; empty when share_of would succeed.
std::vector<std::string> share_faults(const ModelSpec& model, const Share& share);

// The divisors of `number` just below and just above `wanted`: "4 or 8".
std::string nearest_divisors(std::uint64_t number, std::uint64_t wanted);

}  // namespace lightcone::models
