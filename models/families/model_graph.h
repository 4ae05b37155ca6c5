// SPDX-License-Identifier: Apache-2.0
// A model as a whole, whatever its layers are: parameters, memory, and the operators of a prefill and of a decode step,
// fused as serving engines do on one GPU (one GEMM for Q, K and V, one for gate and up; the residual addition inside
// the norm). Of a share (families/share.h) everything is that of one rank. Not described: gathering the last rows
// before the LM head, sampling.
#pragma once

#include <cstdint>

#include "models/families/pass_shape.h"
#include "models/graph/graph.h"
#include "models/model_spec.h"
#include "sim/base/units.h"

namespace lightcone::models {

// Exact number of parameters; tied tables count once.
std::uint64_t parameter_count(const ModelSpec& model);

// Of those, the ones that a token passes through: all, but for the experts that it is not sent to.
std::uint64_t active_parameter_count(const ModelSpec& model);

// Memory of the parameters, in the formats of PhaseShape.
Bytes weight_bytes(const ModelSpec& model, NumberFormat weights, NumberFormat activations = NumberFormat::bf16);

// KV cache that one more token of a sequence takes, over all layers, while no window is full.
Bytes kv_bytes_per_token(const ModelSpec& model, NumberFormat kv);

// KV cache of one sequence of `length` tokens; layers with a window keep its tokens only.
Bytes kv_bytes(const ModelSpec& model, std::uint64_t length, NumberFormat kv);

// What recurrent layers keep of one sequence, whatever its length.
Bytes state_bytes(const ModelSpec& model, NumberFormat state, NumberFormat activations = NumberFormat::bf16);

// The operators of a pass over the prompts; of each sequence the LM head sees the last token only. Layers of one kind
// share a section, wherever they stand.
// Throws ConfigError for zero or too large sizes and for sequences longer than the learned positions.
Graph build_prefill(const ModelSpec& model, const PhaseShape& shape);

// Whether the model generates: false for encoders, whose attention is bidirectional.
bool decodes(const ModelSpec& model);

// The same for one new token of each sequence (`tokens` must be 1, `context` at least 1).
Graph build_decode(const ModelSpec& model, const PhaseShape& shape);

}  // namespace lightcone::models
