// SPDX-License-Identifier: Apache-2.0
// Operator -> kernels. Pure functions: an operator and a GPU in, tile programs out. The choice among tile shapes,
// split-K and pipeline depth is the one a library makes: the smallest predicted time over a short list.
#pragma once

#include <string>
#include <vector>

#include "hardware/machine/evaluate.h"
#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "models/graph/operator.h"

namespace lightcone::scenarios {

// How a library implements the operator; the differences between libraries that measured data shows.
enum class KernelLibrary : std::uint8_t {
  automatic,
  flash_attention_2,
  flash_attention_3,
  vllm,
  sglang,
  tensorrt_llm,
  pytorch_eager
};

// How finely the GEMM library's kernels step through tile sizes. On Hopper cuBLAS came with powers of two
// (sm90_xmma_gemm_..._tilesize128x256x64) before it had steps of 8 columns (nvjet_..., from 12.5 on).
enum class GemmTileList : std::uint8_t { fine, powers_of_two };

struct MappingOptions {
  KernelLibrary library = KernelLibrary::automatic;
  hardware::LaunchMode launch = hardware::LaunchMode::graph;
  GemmTileList gemm_tiles = GemmTileList::fine;
};

// Kernels launched one after another on one stream for this operator.
struct KernelSequence {
  std::vector<hardware::TileProgram> kernels;
  std::string note;  // what the mapping decided and why, one line (tile, split, candidates seen)
};

// One kernel, or several in turn, with their names as the note.
KernelSequence in_turn(std::vector<hardware::TileProgram> kernels);
KernelSequence single(hardware::TileProgram kernel);

// Throws ConfigError when the operator cannot run on this GPU (format without a tensor-core rate, head too wide ...).
KernelSequence map_operator(const models::Operator& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options = {});

}  // namespace lightcone::scenarios
