// SPDX-License-Identifier: Apache-2.0
// Backward of attention: FlashAttention-2 on mma.sync, FlashAttention-3 on wgmma (and its schedule on later
// generations). A CTA holds a block of keys and walks the queries that see it: S and dP, P and dS from the saved
// log-sum-exp, dV, dK in registers, dQ added to an fp32 buffer in global memory by atomics. Before it a pass over O and
// dO gives D and clears the buffer; after it passes convert what was summed in fp32.
// Sources: Dao 2023 (FlashAttention-2, section 3.1.2), Shah et al. 2024 (FlashAttention-3, section 3), and the
// flash-attention repository (csrc/flash_attn/src/flash_bwd_launch_template.h, flash_bwd_kernel.h;
// hopper/flash_bwd_launch_template.h, mainloop_bwd_sm90_tma_gmma_ws.hpp). Not modelled: deterministic mode, dropout,
// atomics dearer than writes.
#pragma once

#include <cstdint>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

struct AttentionBackwardPlan {
  std::uint32_t head_dim = 128, value_dim = 128;  // as the kernel was compiled
  std::uint32_t rows = 64, columns = 128;         // queries and keys of one tile
  bool mma_sync = false;
  // mma.sync: how the 8 warps divide S and dP along the queries, dK and dV along the keys, dQ along the queries.
  std::uint32_t warps_scores = 2, warps_keys = 4, warps_queries = 2;
  // wgmma: consumer warpgroups, which divide the keys of S, dP, dK and dV and the columns of dQ.
  std::uint32_t warpgroups = 2;
  std::uint32_t stages_q = 2, stages_do = 1, stages_ds = 1;
  bool v_in_registers = false;
  bool p_in_registers = false;  // P and dS are the register operands of dV and dK
  bool dq_through_tma = false;  // staged in shared memory and added by bulk reductions, else by plain atomics
  bool sums_kv_heads = false;   // fp32 dK and dV of a KV head are added up by the CTAs of its query heads
};

// Throws ConfigError when no kernel takes the shape.
AttentionBackwardPlan plan_attention_backward(const models::Attention& op, const hardware::GpuSpec& gpu,
                                              KernelLibrary library);

// Of one CTA.
Bytes shared_memory(const AttentionBackwardPlan& plan);

// The kernel of the five products.
hardware::TileProgram attention_backward_program(const models::Attention& op, const AttentionBackwardPlan& plan,
                                                 const hardware::GpuSpec& gpu);

// The whole sequence.
KernelSequence map_attention_backward(const models::Backward<models::Attention>& op, const hardware::GpuSpec& gpu,
                                      KernelLibrary library);

}  // namespace lightcone::scenarios
