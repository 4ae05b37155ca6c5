// SPDX-License-Identifier: Apache-2.0
// Which attention kernel a library launches for a shape, with its tile, head packing and number of key parts.
// Sources: flash-attention repository (csrc/flash_attn: flash_fwd_launch_template.h, flash_api.cpp; hopper:
// tile_size.h, heuristics.h, flash_api.cpp, flash_prepare_scheduler.cu); TensorRT-LLM, cpp/kernels/fmha_v2 (setup.py:
// enumerate_hgmma_flash_warpspec_kernels, enumerate_qgmma_flash_warpspec_kernels; src/fmha/warpspec/compute.h). vLLM:
// vllm-project/flash-attention, pull request 104 (two-level accumulation).
#pragma once

#include <cstdint>

#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

struct AttentionPlan {
  std::uint32_t rows = 128, columns = 128;  // query rows and keys of one tile
  std::uint32_t warps = 4;                  // that multiply
  std::uint32_t head_dim = 128;             // padded to what the kernel was compiled for
  std::uint32_t stages = 2;                 // of the K and of the V ring
  std::uint32_t splits = 1;                 // parts of the keys summed by different CTAs; above 1 only with `packed`
  std::uint32_t most_splits = 1;  // the host's bound: above 1 the merging kernel is launched whatever `splits`
  bool packed = false;
  bool longest_first = false;
  bool mma_sync = false;         // warp instructions and cp.async (FlashAttention-2), whatever the GPU could do
  bool serial_combine = false;   // the merging kernel adds one part before it asks for the next
  bool softmax_in_turn = false;  // a warpgroup waits for its products before softmax, and for softmax before the next
  bool transposes_v = false;  // 8-bit wgmma reads V by columns: turned around in shared memory, by warps of their own
  bool promotes = false;      // 8-bit products of a block are added to O by fp32 instructions, O kept aside meanwhile
  bool bulk_pages = false;    // a page is a TMA box
  NumberFormat multiply = NumberFormat::bf16;
};

// Shared memory of a CTA: a tile of Q and the rings of K, V and, where it is turned around, V once more.
Bytes shared_memory(const AttentionPlan& plan);

// Query rows of one matrix instruction: what a warpgroup takes of a tile.
std::uint32_t rows_per_share(const hardware::GpuSpec& gpu);

// Throws ConfigError when no kernel of the library takes the shape.
AttentionPlan plan_attention(const models::Attention& op, const hardware::GpuSpec& gpu, KernelLibrary library);

// `any`: every number of parts, none for up to four key blocks (FlashAttention-3). `even`: only those that shorten the
// longest part (FlashAttention-2).
enum class SplitRule : std::uint8_t { any, even };

// Smallest split of the keys within 85 % of the best wave efficiency; 1 when the tiles alone fill 80 % of the slots.
std::uint32_t split_heuristic(std::uint64_t tiles, std::uint64_t slots, std::uint64_t key_blocks, SplitRule rule);

}  // namespace lightcone::scenarios
