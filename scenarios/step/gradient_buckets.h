// SPDX-License-Identifier: Apache-2.0
// Gradients in buckets, which the data ranks reduce one by one as the backward fills them (Li et al. 2020, PyTorch DDP;
// Megatron-Core's DistributedDataParallel).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lightcone::scenarios {

// Neighbouring units (layers) of a part of the model.
struct GradientBucket {
  std::size_t first = 0, last = 0;
  std::uint64_t parameters = 0;
};

// From the last unit to the first: each bucket holds whole units until it has at least `size` parameters. Units without
// parameters join the bucket before them.
std::vector<GradientBucket> gradient_buckets(const std::vector<std::uint64_t>& parameters, std::uint64_t size);

}  // namespace lightcone::scenarios
