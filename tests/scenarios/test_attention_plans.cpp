// SPDX-License-Identifier: Apache-2.0
// Each family of attention kernels: its tile, how many CTAs it launches, into how many parts it splits the keys, and
// the kernels around it.
#include <algorithm>
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/program/tile_program.h"
#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/kv_cache_kernels.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/mapping/masked_mha.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/sound_program.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;

namespace {

using hardware::LaunchMode;

models::Attention prefill(std::uint64_t head_dim) {
  models::Attention op{2, 32, 8, 1024, 1024, head_dim};
  op.paged = op.writes_kv_cache = true;
  return op;
}

models::Attention decode(std::uint64_t batch, std::uint64_t heads, std::uint64_t kv_heads, std::uint64_t keys,
                         std::uint64_t head_dim) {
  models::Attention op{batch, heads, kv_heads, 1, keys, head_dim};
  op.paged = op.writes_kv_cache = true;
  return op;
}

models::Attention in_fp8(models::Attention op) {
  op.kv = NumberFormat::fp8_e4m3;
  return op;
}

std::vector<std::string> names(const models::Attention& op, const hardware::GpuSpec& gpu, KernelLibrary library) {
  std::vector<std::string> list;
  for (const hardware::TileProgram& kernel : map_operator(op, gpu, {library, LaunchMode::graph}).kernels)
    list.push_back(kernel.name.substr(0, kernel.name.find("_bf16")));
  return list;
}

std::pair<std::uint32_t, std::uint32_t> tile(const AttentionPlan& plan) { return {plan.rows, plan.columns}; }
using Tile = std::pair<std::uint32_t, std::uint32_t>;

}  // namespace

TEST_CASE("FlashAttention-2: 128 x 64 tiles of one head; its split kernel 64 rows, keys split evenly") {
  models::Attention dense = prefill(128);
  dense.paged = false;
  const AttentionPlan plan = plan_flash_2(dense, ampere());
  REQUIRE(tile(plan) == Tile{128, 64});
  REQUIRE((plan.warps == 4 && plan.mma_sync && !plan.packed && plan.splits == 1));
  REQUIRE(flash_attention_2(dense, plan, ampere()).cta_count() == 2 * 32 * (1024 / 128));
  REQUIRE(tile(plan_flash_2(prefill(64), ampere())) == Tile{128, 64});  // causal; 128 keys otherwise

  // One tile per KV head and sequence, two CTAs on each of 108 SMs; the 64 blocks of 128 keys shared out evenly.
  const models::Attention step = decode(1, 32, 8, 8192, 128);
  const AttentionPlan split = plan_flash_2_split(step, ampere(), true);
  REQUIRE(tile(split) == Tile{64, 128});
  REQUIRE((split.packed && split.serial_combine && split.splits == 22));
  REQUIRE(flash_attention_2(step, split, ampere()).cta_count() == 8 * 22);
  const models::Attention ungrouped = decode(1, 8, 8, 8192, 128);
  REQUIRE(plan_flash_2_split(ungrouped, ampere(), true).splits == 22);
  REQUIRE(plan_flash_2_split(ungrouped, ampere(), false).splits == 1);
}

TEST_CASE("FlashAttention-3 on sm_80 deals key blocks to SMs, with other tiles where it splits") {
  const AttentionPlan whole = plan_flash_3_sync(prefill(128), ampere());
  REQUIRE(tile(whole) == Tile{128, 64});
  REQUIRE((whole.packed && whole.splits == 1));
  const AttentionPlan split = plan_flash_3_sync(decode(1, 32, 8, 8192, 128), ampere());
  REQUIRE(tile(split) == Tile{128, 112});
  REQUIRE((split.warps == 8 && split.splits > 1));
}

TEST_CASE("FlashAttention-3: the published tiles, and those of vLLM's fork") {
  const auto planned = [&](const models::Attention& op, KernelLibrary library) {
    return plan_flash_3(op, hopper(), library);
  };
  const auto upstream = KernelLibrary::sglang, fork = KernelLibrary::vllm;
  REQUIRE(tile(planned(prefill(64), upstream)) == Tile{192, 128});
  REQUIRE(tile(planned(prefill(128), upstream)) == Tile{128, 128});
  REQUIRE(tile(planned(prefill(256), upstream)) == Tile{128, 80});
  REQUIRE(tile(planned(in_fp8(prefill(128)), upstream)) == Tile{128, 160});
  REQUIRE(tile(planned(in_fp8(prefill(64)), fork)) == Tile{192, 128});
  REQUIRE(tile(planned(in_fp8(prefill(128)), fork)) == Tile{128, 192});
  REQUIRE(tile(planned(in_fp8(prefill(256)), fork)) == Tile{128, 128});
  // Packed heads: rows of a KV head are queries x 4.
  const AttentionPlan plan = planned(prefill(128), upstream);
  REQUIRE(flash_attention_3(prefill(128), plan, hopper()).cta_count() == 2 * 8 * (1024 * 4 / 128));
  // 64 rows or fewer: one warpgroup in the fork, whole tiles upstream.
  const models::Attention step = decode(64, 32, 8, 4096, 128);
  REQUIRE(tile(planned(step, fork)) == Tile{64, 128});
  REQUIRE(tile(planned(step, upstream)) == Tile{128, 128});
  REQUIRE(tile(planned(in_fp8(step), fork)) == Tile{64, 96});
  models::Attention windowed = step;
  windowed.window = 512;
  REQUIRE(planned(windowed, fork).rows == 128);
  // 512 tiles need no split; the host, which reckons with one sequence, still lets the merging kernel run.
  REQUIRE((planned(step, fork).splits == 1 && planned(step, fork).most_splits > 1));
  // A single KV head of one sequence over 32 blocks: 28 parts are within 85 % of 32.
  REQUIRE(planned(decode(1, 4, 1, 4096, 128), upstream).splits == 28);
}

TEST_CASE("decode on Blackwell: rows of a group in steps of 8, keys dealt to the SMs, Q by TMA") {
  for (const KernelLibrary library : {KernelLibrary::vllm, KernelLibrary::sglang, KernelLibrary::tensorrt_llm}) {
    const models::Attention step = decode(4, 32, 8, 4096, 128);
    const AttentionPlan plan = plan_attention(step, blackwell(), library);
    REQUIRE(tile(plan) == Tile{8, 128});
    REQUIRE((plan.packed && plan.bulk_queries && plan.stages > 2));
    REQUIRE(plan.splits == 148 / (4 * 8));
    require_sound(flash_attention_3(step, plan, blackwell()), blackwell());
  }
  // No part has fewer than 256 keys; 20 query heads take 24 rows.
  const auto library = KernelLibrary::vllm;
  REQUIRE(plan_attention(decode(1, 20, 1, 512, 64), blackwell(), library).splits == 2);
  REQUIRE(plan_attention(decode(1, 20, 1, 512, 64), blackwell(), library).rows == 24);
  REQUIRE(plan_attention(decode(4, 96, 2, 1000, 128), blackwell(), KernelLibrary::tensorrt_llm).by_head);
}

TEST_CASE("8-bit products: Q narrowed by a kernel before, or by none where it comes narrow") {
  const models::Attention step = in_fp8(decode(64, 32, 8, 1000, 128));
  REQUIRE(names(step, hopper(), KernelLibrary::vllm).front().starts_with("elementwise_quantize"));
  models::Attention narrow = step;
  narrow.query = NumberFormat::fp8_e4m3;
  REQUIRE(names(narrow, hopper(), KernelLibrary::vllm).front().starts_with("reshape_and_cache"));
  // SGLang converts K, V and Q; TensorRT-LLM's preprocessing writes them narrow.
  const auto conversions = [&](KernelLibrary library) {
    const auto list = names(step, hopper(), library);
    return std::count_if(list.begin(), list.end(),
                         [](const std::string& name) { return name.starts_with("elementwise_copy"); });
  };
  REQUIRE(conversions(KernelLibrary::sglang) == 3);
  REQUIRE(conversions(KernelLibrary::tensorrt_llm) == 0);

  // The attention kernel reads Q in 8 bits and writes O in 16.
  const hardware::TileProgram kernel =
      flash_attention_3(step, plan_attention(step, hopper(), KernelLibrary::vllm), hopper());
  REQUIRE(kernel.tensors.at(0).bytes == Bytes(64 * 32 * 128));
  REQUIRE(kernel.tensors.at(3).bytes == Bytes(64 * 32 * 128 * 2));
}

TEST_CASE("TensorRT-LLM: fused kernels for prefill, XQA or masked MHA for decode") {
  const auto library = KernelLibrary::tensorrt_llm;
  REQUIRE(tile(plan_fused_mha(prefill(64), hopper())) == Tile{128, 256});
  REQUIRE(tile(plan_fused_mha(in_fp8(prefill(256)), hopper())) == Tile{128, 128});
  REQUIRE(tile(plan_fused_mha(prefill(128), ampere())) == Tile{64, 64});
  const AttentionPlan plan = plan_fused_mha(prefill(128), ampere());
  REQUIRE(flash_attention_2(prefill(128), plan, ampere()).cta_count() == 2 * 32 * (1024 / 64));

  // XQA on wgmma takes an 8-bit cache and 2 to 32 query heads per KV head, two CTAs to an SM.
  const models::Attention step = in_fp8(decode(256, 32, 8, 100, 128));
  const AttentionPlan xqa = plan_attention(step, hopper(), library);
  REQUIRE(tile(xqa) == Tile{64, 64});
  REQUIRE((xqa.ctas_per_sm == 2 && xqa.splits == 1 && xqa.appends_cache));
  const hardware::TileProgram kernel = flash_attention_3(step, xqa, hopper());
  REQUIRE(kernel.cta_count() == 256 * 8);
  REQUIRE(hardware::occupancy(kernel, hopper().sm) == 2);
  REQUIRE(plan_attention(in_fp8(decode(1, 32, 8, 8192, 128)), hopper(), library).splits > 8);
  // It rotates and appends itself where the head holds the 128 rotated values.
  REQUIRE(names(step, hopper(), library) ==
          std::vector<std::string>{"flash_attention_3_fp8_e4m3_hd128_64x64_causal_packed"});
  REQUIRE(!plan_attention(in_fp8(decode(256, 32, 8, 100, 64)), hopper(), library).appends_cache);
  for (const models::Attention& other : {decode(256, 32, 8, 100, 128), in_fp8(decode(256, 8, 8, 100, 128))})
    REQUIRE(plan_attention(other, hopper(), library).ctas_per_sm == 1);

  // More query heads than that: a CTA per head, which reads the keys of its KV head again.
  const models::Attention wide = decode(4, 96, 2, 1000, 128);
  REQUIRE(plan_attention(wide, hopper(), library).by_head);
  const hardware::TileProgram by_head = masked_mha(wide);
  require_sound(by_head, hopper());
  REQUIRE(by_head.cta_count() == 4 * 96);
  const hardware::ProgramTotals sum = hardware::totals(by_head);
  REQUIRE(sum.loaded.count() == 4ull * 96 * (2 * 1000 + 1) * 256);
  REQUIRE(stored(by_head) == 4 * 96 * 256);
}

TEST_CASE("servers append K and V as their sources do") {
  // vLLM: one CTA per token, of as many threads as K has values up to 512.
  const models::Attention op = prefill(128);
  const std::uint64_t tokens = 2 * 1024;
  const hardware::TileProgram vllm = reshape_and_cache_program(op);
  require_sound(vllm, hopper());
  REQUIRE((vllm.cta_count() == tokens && vllm.threads_per_cta == 512));
  REQUIRE(hardware::totals(vllm).loaded.count() == tokens * (8 + 2 * 8 * 256));
  REQUIRE(stored(vllm) == tokens * 2 * 8 * 256);
  REQUIRE(reshape_and_cache_program(decode(7, 4, 1, 100, 64)).threads_per_cta == 64);
  REQUIRE(names(op, hopper(), KernelLibrary::vllm) ==
          std::vector<std::string>{"reshape_and_cache", "flash_attention_3", "memset"});

  // TensorRT-LLM: every query head reads K and V of its KV head; each is stored once.
  for (const models::Attention& shape : {op, in_fp8(op), prefill(256), decode(33, 4, 4, 500, 64)}) {
    for (const std::uint64_t table : {UINT64_MAX, std::uint64_t{100}}) {
      const NumberFormat multiply = shape.kv;
      const hardware::TileProgram program = qkv_preprocessing_program(shape, multiply, table, 132);
      INFO(program.name);
      require_sound(program, hopper());
      const std::uint64_t all = shape.batch * shape.q_len, head = shape.head_dim * 2;
      const std::uint64_t out = storage(multiply, shape.head_dim).count();
      REQUIRE(stored(program) == all * (shape.heads + 2 * shape.kv_heads) * out);
      REQUIRE(hardware::totals(program).loaded.count() >= all * shape.heads * 3 * head);
      REQUIRE((program.threads_per_cta == 256) == (table == UINT64_MAX));
    }
  }
  // A warp for each position and head; four sequences or more to a warp.
  REQUIRE(qkv_preprocessing_program(op, op.kv, 100, 132).cta_count() == 1024 * 32);
  REQUIRE(qkv_preprocessing_program(decode(64, 32, 8, 500, 128), NumberFormat::bf16, 100, 132).cta_count() == 32 * 16);
}
