// SPDX-License-Identifier: Apache-2.0
// TensorRT-LLM's decode kernel for more query heads per KV head than XQA takes (32): masked multi-head attention
// (kernels/decoderMaskedMultiheadAttention/decoderMaskedMultiheadAttentionTemplate.h). One CTA per query head and
// sequence reads all keys of its KV head, again for every query head of the group, and multiplies with FMA.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// For one query per sequence.
hardware::TileProgram masked_mha(const models::Attention& op);

}  // namespace lightcone::scenarios
