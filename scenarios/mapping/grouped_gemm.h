// SPDX-License-Identifier: Apache-2.0
// Grouped products: one matrix of weights per expert, over the rows of its own tokens. One kernel for all experts; an
// expert's rows are padded to whole tiles, so that the tile along the tokens is chosen by the rows per expert.
//   CUTLASS (TensorRT-LLM, FlashInfer): a persistent grid over the tiles of all experts; from Hopper on weights are the
//   row operand of the instruction and tokens its columns, 16 to 256 wide.
//   Triton (vLLM and SGLang, fused_moe): a CTA per tile, tokens in the rows, fetched by index; below 64 rows mma.sync.
//   The grid is as large as the worst spread of rows needs; CTAs beyond the last tile leave at once. Rows of experts on
//   other devices are set to zero.
//   Marlin (weights narrower than their products): mma.sync, weights converted in registers.
// Not modelled: the content of Triton's tuned files (where there is one, the fastest of the tiles it is made from is
// taken), Marlin's split of one tile among CTAs.
#pragma once

#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// The kernel with the smallest predicted time over the library's tiles. Throws ConfigError when the formats have no
// kernel or no tile fits an SM.
KernelSequence choose_grouped_gemm(const models::GroupedGemm& op, const hardware::GpuSpec& gpu,
                                   const MappingOptions& options);

// The gradients of the weights: per expert a product over its rows, on the dense kernels' tiles, in one grid.
KernelSequence choose_grouped_weight_gradient(const models::Backward<models::GroupedGemm>& op,
                                              const hardware::GpuSpec& gpu, const MappingOptions& options);

}  // namespace lightcone::scenarios
