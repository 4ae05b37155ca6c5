// SPDX-License-Identifier: Apache-2.0
// Attention kernels: FlashAttention-2 on mma.sync, FlashAttention-3 on wgmma (and its schedule on later generations),
// for prefill and, with packed heads and split keys (flash-decoding), for decode; then the append to the KV cache.
// Sources: Dao 2023 (FlashAttention-2), Shah et al. 2024 (FlashAttention-3), tile tables and split heuristic of the
// flash-attention repository. Not modelled: the ping-pong order that FlashAttention-3 imposes on its warpgroups.
#pragma once

#include "scenarios/mapping/attention_layout.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Producer warp, 1-3 consumer warpgroups of 64 rows; S of the next key block is multiplied while this one's softmax
// runs. Persistent, longest tiles first under a causal mask.
hardware::TileProgram flash_attention_3(const models::Attention& op, const AttentionPlan& plan,
                                        const hardware::GpuSpec& gpu);
// One role; K of the next block and V of this one are copied while the other is used.
hardware::TileProgram flash_attention_2(const models::Attention& op, const AttentionPlan& plan,
                                        const hardware::GpuSpec& gpu);

// The small kernel that serving libraries run before the attention kernel of a batch of unequal lengths: one CTA reads
// the lengths and writes how many blocks each sequence takes (FlashAttention-3: prepare_varlen_num_blocks;
// TensorRT-LLM: sequence and padding offsets).
hardware::TileProgram plan_lengths(const models::Attention& op);

KernelSequence map_attention(const models::Attention& op, const hardware::GpuSpec& gpu, const MappingOptions& options);

}  // namespace lightcone::scenarios
