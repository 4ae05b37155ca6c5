// SPDX-License-Identifier: Apache-2.0
// Kernels of sparse attention: those of dense attention (attention_program.h), whose tiles go through the blocks of
// keys that their queries see. Queries that share their keys form tiles of the dense kernel; where every query has a
// list of blocks of its own, its heads of one KV head are a tile by themselves (fla/ops/nsa/parallel.py: one program
// per query and KV head, rows padded to 16).
//
// Which blocks are chosen is data. They are taken to lie evenly over the keys before the query, other ones for the next
// tile: the lines that a kernel moves are as many, and as far apart, as those of any choice.
#pragma once

#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Throws ConfigError when no tile fits the GPU, or heads of keys and values differ in width.
KernelSequence map_sparse_attention(const models::SparseAttention& op, const hardware::GpuSpec& gpu,
                                    const MappingOptions& options);

}  // namespace lightcone::scenarios
