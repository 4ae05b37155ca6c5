// SPDX-License-Identifier: Apache-2.0
// The backward pass of a section of a model graph: one rule per operator kind, applied from the last operator to the
// first, and what the forward pass must save for it under a policy of recomputation (Korthikanti et al. 2022). A new
// operator kind without a rule is refused with its name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/graph/graph.h"

namespace lightcone::models {

// What of the forward pass is computed again rather than saved. `none`: nothing (but attention probabilities and chunk
// states, which the fused kernels never save). `selective`: the outputs of norms and of elementwise operators
// (Megatron-LM: recompute modules layernorm, mlp_act, moe_act). `full`: whole layers; only their inputs are saved.
enum class Recomputation : std::uint8_t { none, selective, full };

struct GradientOptions {
  NumberFormat weight_gradient = NumberFormat::bf16;
  bool accumulates = false;  // into gradients of earlier micro batches, or of layers that share the weights
};

// The operators that compute the gradients of the inputs and parameters of one operator; none where the gradient
// passes through as it is.
std::vector<Node> backward_of(const Node& node, const GradientOptions& options);

// Those of a whole section, in order, with the sums of gradients where several operators read the same result. Inputs
// of an operator with several sources are taken to come from them in equal shares; what its readers take of a result
// beyond its size they read twice.
std::vector<Node> backward_of(const Section& section, const GradientOptions& options);

// The operators that `policy` runs again before the section's backward.
std::vector<Node> recomputed(const Section& section, Recomputation policy);

// Bytes that one execution of the section leaves for its backward, `full` taken as `none`. Each tensor once, whoever
// needs it; the results that the next section reads count here.
Bytes saved_bytes(const Section& section, Recomputation policy);

// Values of an operator's result.
Bytes result_bytes(const Operator& op);

}  // namespace lightcone::models
