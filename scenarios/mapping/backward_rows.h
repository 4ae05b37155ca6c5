// SPDX-License-Identifier: Apache-2.0
// Backward kernels that stream over rows or values, and the loss.
// Norms: a grid that fills the GPU walks the rows and keeps the gradient of the weights in registers; each CTA leaves
// its fp32 sums, a second kernel adds them up (Apex and Transformer Engine: ln_bwd_kernel and its finalize; Liger
// Kernel the same). Embedding: rows are added by atomics into the table's gradient, cleared before. Cross entropy: one
// CTA per row, which reads the logits twice (maximum and sum, then the gradient in place: Liger Kernel). The atomics of
// the L2 cost what a write costs.
#pragma once

#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

std::vector<hardware::TileProgram> norm_backward_programs(const models::Backward<models::Norm>& op,
                                                          const hardware::GpuSpec& gpu);
std::vector<hardware::TileProgram> column_sum_programs(const models::ColumnSum& op, const hardware::GpuSpec& gpu);
std::vector<hardware::TileProgram> embedding_backward_programs(const models::Backward<models::EmbeddingGather>& op);
hardware::TileProgram softmax_backward_program(const models::Backward<models::Softmax>& op);
hardware::TileProgram elementwise_backward_program(const models::Backward<models::Elementwise>& op);
hardware::TileProgram cross_entropy_program(const models::CrossEntropy& op);

// What moves rows of experts: each row of the source adds up its copies; each expert's row gets its share of the
// output's gradient; the chosen scores get theirs, all others zero.
hardware::TileProgram gather_backward_program(const models::Backward<models::GatherRows>& op);
hardware::TileProgram combine_backward_program(const models::Backward<models::CombineRows>& op);
hardware::TileProgram top_k_backward_program(const models::Backward<models::TopK>& op);

// Zeros over `bytes`.
hardware::TileProgram clear_program(std::uint64_t bytes);

// Sums of `parts` rows of fp32 that kernels left, in `output`.
hardware::TileProgram sum_parts_program(std::uint64_t parts, std::uint64_t columns, NumberFormat output,
                                        bool accumulates);

}  // namespace lightcone::scenarios
