// SPDX-License-Identifier: Apache-2.0
// Sums and maxima over a warp and over a CTA.
#pragma once

#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

struct Add {
  LIGHTCONE_DEVICE static float of(float a, float b) { return a + b; }
};
struct Largest {
  LIGHTCONE_DEVICE static float of(float a, float b) { return max_of(a, b); }
};

// All lanes get the result.
template <class Operation, class Block>
LIGHTCONE_DEVICE float over_warp(Block& block, float value) {
  LIGHTCONE_UNROLL for (int mask = 16; mask > 0; mask /= 2) value =
      Operation::of(value, block.shuffle_xor(value, mask));
  return value;
}

// All threads of kWarps warps get the result; `shared` holds kWarps values and is free again afterwards.
template <class Operation, int kWarps, class Block>
LIGHTCONE_DEVICE float over_block(Block& block, float* shared, float value) {
  value = over_warp<Operation>(block, value);
  if (block.lane() == 0) shared[block.warp()] = value;
  block.sync();
  value = shared[0];
  LIGHTCONE_UNROLL for (int w = 1; w < kWarps; ++w) value = Operation::of(value, shared[w]);
  block.sync();
  return value;
}

}  // namespace lightcone::models::cuda
