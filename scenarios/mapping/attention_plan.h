// SPDX-License-Identifier: Apache-2.0
// Which attention kernel a library launches for a shape, with its tile, head packing and number of key parts.
// One function per kernel family; plan_attention chooses among them as the library does.
#pragma once

#include <cstdint>

#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/attention_splits.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

struct AttentionPlan {
  std::uint32_t rows = 128, columns = 128;  // query rows and keys of one tile
  std::uint32_t warps = 4;                  // that multiply
  std::uint32_t head_dim = 128;             // padded to what the kernel was compiled for
  std::uint32_t value_dim = 0;              // the same of V and O; 0: head_dim
  std::uint32_t stages = 2;                 // of the K and of the V ring
  std::uint32_t splits = 1;                 // parts of the keys summed by different CTAs; above 1 only with `packed`
  std::uint32_t most_splits = 1;  // the host's bound: above 1 the merging kernel is launched whatever `splits`
  std::uint32_t ctas_per_sm = 1;  // that the registers of a warp-specialised kernel leave room for
  std::uint32_t dealt_parts = 0;  // above 0: parts of sequences that a scheduler deals out (mla_schedule.h), in all
  bool packed = false;
  bool longest_first = false;
  bool mma_sync = false;         // warp instructions and cp.async (FlashAttention-2), whatever the GPU could do
  bool serial_combine = false;   // the merging kernel adds one part before it asks for the next
  bool softmax_in_turn = false;  // a warpgroup waits for its products before softmax, and for softmax before the next
  bool transposes_v = false;    // 8-bit wgmma reads V by columns: turned around in shared memory, by warps of their own
  bool promotes = false;        // 8-bit products of a block are added to O by fp32 instructions, O kept aside meanwhile
  bool bulk_pages = false;      // a page is a TMA box
  bool whole_boxes = false;     // sequences lie one behind the other: a box that reaches beyond one reads the next
  bool bulk_queries = false;    // packed rows are one, too: heads of a group lie side by side
  bool by_head = false;         // a CTA per query head, without matrix instructions (masked_mha.h)
  bool appends_cache = false;   // rotates Q and K and appends K and V itself
  bool narrows_q = false;       // reads Q as the activations are and narrows it itself; else another kernel did
  bool values_in_keys = false;  // V is read out of the tiles of K
  bool values_by_columns = false;  // every warpgroup holds some columns of all rows of O
  NumberFormat multiply = NumberFormat::bf16;

  [[nodiscard]] std::uint32_t v_dim() const { return value_dim == 0 ? head_dim : value_dim; }
};

// Shared memory of a CTA: a tile of Q and the rings of K, V and, where it is turned around, V once more.
Bytes shared_memory(const AttentionPlan& plan);

// Query rows of one matrix instruction: what a warpgroup takes of a tile.
std::uint32_t rows_per_share(const hardware::GpuSpec& gpu);
// Warpgroups among which a tile's rows are shared out.
std::uint32_t query_shares(const AttentionPlan& plan, const hardware::GpuSpec& gpu);

// Throws ConfigError when no kernel of the library takes the shape.
AttentionPlan plan_attention(const models::Attention& op, const hardware::GpuSpec& gpu, KernelLibrary library);

// ---- The families. Every query sees at least one key; sizes are checked. ------------------------------------------

// FlashAttention-2 (csrc/flash_attn: flash_fwd_launch_template.h, run_mha_fwd_hdim*).
AttentionPlan plan_flash_2(const models::Attention& op, const hardware::GpuSpec& gpu);
// Its split kernel, the only one of it that reads a paged cache (flash_api.cpp: run_mha_fwd, force_split_kernel).
// `splits_ungrouped`: keys are split also where no query heads share a KV head.
AttentionPlan plan_flash_2_split(const models::Attention& op, const hardware::GpuSpec& gpu, bool splits_ungrouped);
// FlashAttention-3 on sm_80 (hopper/mainloop_fwd_sm80.hpp): what SGLang's fa3 backend runs there.
AttentionPlan plan_flash_3_sync(const models::Attention& op, const hardware::GpuSpec& gpu);
// FlashAttention-3 on wgmma, and its schedule on later generations.
AttentionPlan plan_flash_3(const models::Attention& op, const hardware::GpuSpec& gpu, KernelLibrary library);
// TensorRT-LLM, prefill: cpp/kernels/fmha_v2 (setup.py: enumerate_*_flash_warpspec_kernels).
AttentionPlan plan_fused_mha(const models::Attention& op, const hardware::GpuSpec& gpu);
// Decode on tcgen05, whatever the server (attention_plan_trtllm_gen.cpp).
AttentionPlan plan_trtllm_gen_decode(const models::Attention& op, const hardware::GpuSpec& gpu);
// TensorRT-LLM, decode of more query heads per KV head than XQA takes: masked_mha.h.
AttentionPlan plan_masked_mha(const models::Attention& op);
// TensorRT-LLM, decode of an 8-bit cache on Hopper: cpp/kernels/xqa/mha_sm90.cu.
AttentionPlan plan_xqa(const models::Attention& op, const hardware::GpuSpec& gpu);

}  // namespace lightcone::scenarios
