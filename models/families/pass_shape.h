// SPDX-License-Identifier: Apache-2.0
// The sizes and number formats of one pass of a model.
#pragma once

#include <cstdint>

#include "sim/base/number_format.h"

namespace lightcone::models {

// What one pass computes: `batch` sequences of equal length, each with `tokens` new tokens on top of `context` tokens
// that the KV cache, or the state, holds already.
struct PhaseShape {
  std::uint64_t batch = 1;
  std::uint64_t tokens = 1;                   // new tokens of each sequence: the prompt, or 1 in decode
  std::uint64_t context = 0;                  // of each sequence, before this pass
  NumberFormat weights = NumberFormat::bf16;  // matrices of the layers; tables, norms, biases and the LM head are bf16
                                              // unless the activations are wider
  NumberFormat activations = NumberFormat::bf16;  // inputs of the layers' GEMMs; below 16 bits they are quantised from
                                                  // bf16, which the residual stream keeps
  NumberFormat kv = NumberFormat::bf16;
  NumberFormat state = NumberFormat::fp32;  // of recurrent layers
  bool training = false;  // no cache and no state is kept, the LM head sees every token, a loss follows
};

}  // namespace lightcone::models
