// SPDX-License-Identifier: Apache-2.0
// Attention to latent vectors (absorbed MLA): all query heads share one KV head whose keys hold the values, so that a
// tile of keys is loaded once and multiplied twice. Kernels:
//  - FlashMLA (deepseek-ai/FlashMLA; TensorRT-LLM, kernels/flashMLA): 64 heads x 64 keys, two warpgroups; the first
//    multiplies Q K^T and takes the softmax, each sums half of the columns of O; the second fetches. Parts dealt by
//    mla_schedule.h, pieces merged by a kernel of one CTA per row.
//  - FlashAttention-3 with a separate Q for the values (hopper/tile_size.h, headdim_v 512): the same tile, a producer
//    warpgroup of its own, splits as for other heads. What SGLang and vLLM run on Hopper, for prefill too.
//  - on Blackwell trtllm-gen, on Ampere Triton's or TensorRT-LLM's kernel of warp instructions.
// Not modelled: the order in which the newer FlashMLA weaves two key blocks together.
#pragma once

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/attention_layout.h"
#include "scenarios/mapping/attention_plan.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/mapping/mla_schedule.h"

namespace lightcone::scenarios {

AttentionPlan plan_flash_mla(const models::Attention& op, const hardware::GpuSpec& gpu);
// The deal that plan_flash_mla stands for.
Deal flash_mla_deal(const models::Attention& op, const AttentionPlan& plan, const hardware::GpuSpec& gpu);
hardware::TileProgram flash_mla(const models::Attention& op, const AttentionPlan& plan, const hardware::GpuSpec& gpu);
// Writes the deal; and merges the pieces: a CTA for every row, which leaves at once where the sequence is whole.
hardware::TileProgram flash_mla_metadata(const models::Attention& op, std::uint64_t parts);
hardware::TileProgram flash_mla_combine(const models::Attention& op, const Deal& deal);

AttentionPlan plan_flash_3_latent(const models::Attention& op, const hardware::GpuSpec& gpu);
hardware::TileProgram flash_3_latent(const models::Attention& op, const AttentionPlan& plan,
                                     const hardware::GpuSpec& gpu);

// mla_decode_tcgen05.cpp and mla_decode_sync.cpp.
AttentionPlan plan_trtllm_gen_latent(const models::Attention& op, const hardware::GpuSpec& gpu);
hardware::TileProgram trtllm_gen_latent(const models::Attention& op, const AttentionPlan& plan,
                                        const hardware::GpuSpec& gpu);
AttentionPlan plan_sync_latent(const models::Attention& op, const hardware::GpuSpec& gpu, bool triton);
hardware::TileProgram sync_latent(const models::Attention& op, const AttentionPlan& plan, const hardware::GpuSpec& gpu);

// mla_indexer.cpp: attention whose value is one number wide stands for the scores of an indexer.
hardware::TileProgram indexer_scores(const models::Attention& op, const hardware::GpuSpec& gpu);

// What the plans have in common: 64 x 64, all heads packed, values in keys and, by two warpgroups, by columns.
AttentionPlan latent_tile(const models::Attention& op, NumberFormat multiply);

// Throws ConfigError when no kernel takes the shape.
KernelSequence map_latent_attention(const models::Attention& op, const hardware::GpuSpec& gpu,
                                    const MappingOptions& options);

}  // namespace lightcone::scenarios
