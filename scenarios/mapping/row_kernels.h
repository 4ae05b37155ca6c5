// SPDX-License-Identifier: Apache-2.0
// Memory-bound kernels over rows: norms, softmax, rotary embedding with the append to the KV cache, embedding gather.
// A CTA takes one row (or, when rows are short, several) and keeps it in registers, so that it is read once; rows
// longer than the registers of a CTA are read twice, and so are all rows in the RMS norm of vLLM and the layer norm of
// eager PyTorch.
// Not modelled: bank conflicts, the block table of a paged cache.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

hardware::TileProgram norm_program(const models::Norm& op, KernelLibrary library);
hardware::TileProgram softmax_program(const models::Softmax& op);
hardware::TileProgram rotary_program(const models::Rotary& op);
hardware::TileProgram embedding_program(const models::EmbeddingGather& op);

}  // namespace lightcone::scenarios
