// SPDX-License-Identifier: Apache-2.0
// How the serving libraries append this step's K and V to the cache before attention.
// Sources: vLLM, csrc/cache_kernels.cu (reshape_and_cache_flash); TensorRT-LLM,
// cpp/tensorrt_llm/kernels/unfusedAttentionKernels/unfusedAttentionKernels_2_template.h (applyBiasRopeUpdateKVCache and
// applyBiasRopeUpdateKVCacheV2).
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// vLLM: one CTA per token, of a thread for each value of K up to 512, of which one in eight copies 16 bytes: the slot,
// then K, then V, each waiting for the one before.
hardware::TileProgram reshape_and_cache_program(const models::Attention& op);

// TensorRT-LLM: rotates Q and K, writes Q (in the format of the products) and the cache. Every query head fetches its
// KV head again, and its leader stores it. `table_positions`: positions that the table of cosines and sines covers. Up
// to them CTAs of 256 threads go over the tokens of a head, 16 bytes per thread, and read the table; beyond them each
// warp of its own takes a position and a head, computes the angle, and goes over the sequences.
hardware::TileProgram qkv_preprocessing_program(const models::Attention& op, NumberFormat multiply,
                                                std::uint64_t table_positions, std::uint32_t sm_count);

}  // namespace lightcone::scenarios
