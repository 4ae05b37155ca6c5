// SPDX-License-Identifier: Apache-2.0
// Operators that only a training step has: the backward passes of the forward operators, the loss, sums for biases, and
// the optimiser. The backward of a GEMM is two further GEMMs and stands in operator.h; rotary embeddings are turned
// back by the operator that turned them.
//
// Conventions: what the forward pass saved is read, what it did not (attention probabilities, states of recurrences) is
// computed again and counted. Saved row statistics are fp32.
#pragma once

#include <cstdint>

#include "sim/base/number_format.h"

namespace lightcone::models {

// Gradients of all inputs of `forward`, and of its parameters where it has some (norm weights, filters, tables).
template <class Forward>
struct Backward {
  Forward forward;
  NumberFormat weight_gradient = NumberFormat::bf16;
  bool accumulates = false;  // parameter gradients are added to what is there: micro batches, tied tables
};

// out[j] = sum over i of x[i, j]: the gradient of a bias.
struct ColumnSum {
  std::uint64_t rows = 0, columns = 0;
  NumberFormat format = NumberFormat::bf16;
  NumberFormat output = NumberFormat::bf16;
  bool accumulates = false;
};

// Mean loss -log softmax(logits)[label] of each row and its gradient, which replaces the logits in place (Hsu et al.
// 2024, Liger Kernel).
struct CrossEntropy {
  std::uint64_t rows = 0, vocabulary = 0;
  NumberFormat format = NumberFormat::bf16;
};

// One step of AdamW (Loshchilov and Hutter 2019) for `parameters` values. The moments are fp32. `master`: the weights
// are a narrow copy of an fp32 master, which the step reads and writes (mixed precision, Micikevicius et al. 2018).
struct AdamW {
  std::uint64_t parameters = 0;
  NumberFormat weight = NumberFormat::bf16;
  NumberFormat gradient = NumberFormat::bf16;
  bool master = true;
};

}  // namespace lightcone::models
