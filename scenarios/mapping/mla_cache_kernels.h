// SPDX-License-Identifier: Apache-2.0
// What the serving libraries run on the latent cache before attention. TensorRT-LLM (cpp/tensorrt_llm/kernels/
// mlaKernels.cu, applyMLARopeAndAssignQKVKernel*) rotates the positional part of Q and K, puts them in place and
// appends latent and key to the cache; its kernels are compiled for latents of 512 values and positional keys of 64.
// SGLang (mem_cache/memory_pool.py, set_mla_kv_buffer_kernel) appends with a Triton kernel, rotation being done before;
// vLLM (csrc/cache_kernels.cu, concat_and_cache_mla) the same with a CTA per token.
#pragma once

#include "hardware/program/tile_program.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// Of prefill with expanded heads and of absorbed attention (values_in_keys), as the library does it.
hardware::TileProgram append_latent_program(const models::Attention& op, KernelLibrary library);

// PyTorch's copy between number formats where one is 8 bits wide (aten/src/ATen/native/cuda/CUDALoops.cuh:
// unrolled_elementwise_kernel with LoadWithCast and StoreWithCast): element by element, each through a switch over all
// types, the 8-bit format decoded by integer instructions (c10/util/Float8_e4m3fn.h).
hardware::TileProgram convert_program(std::uint64_t elements, NumberFormat from, NumberFormat to);

// Q, K and V of all heads to the narrower format of the products (mlaKernels.cu, quantizeCopyInputToFp8Kernel).
hardware::TileProgram quantize_heads_program(const models::Attention& op);

}  // namespace lightcone::scenarios
