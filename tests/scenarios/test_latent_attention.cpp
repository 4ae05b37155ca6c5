// SPDX-License-Identifier: Apache-2.0
// Kernels of multi-head latent attention: exact work, one read of the latents, the deal of key blocks, and the readers
// of measured rows.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "catch.h"
#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/mla_attention.h"
#include "scenarios/mapping/mla_cache_kernels.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/sound_program.h"
#include "scenarios/validate/row_to_operator.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;

namespace {

constexpr std::uint64_t kKey = 576, kValue = 512;

models::Attention absorbed(std::uint64_t batch, std::uint64_t heads, std::uint64_t queries, std::uint64_t keys) {
  models::Attention op{batch, heads, 1, queries, keys, kKey};
  op.value_dim = kValue;
  op.values_in_keys = op.paged = true;
  return op;
}

models::Attention expanded(std::uint64_t batch, std::uint64_t heads, std::uint64_t queries, std::uint64_t keys) {
  models::Attention op{batch, heads, heads, queries, keys, 192};
  op.value_dim = 128;
  return op;
}

models::Attention in_fp8(models::Attention op) {
  op.kv = NumberFormat::fp8_e4m3;
  return op;
}

std::uint64_t flops(const models::Attention& op) { return models::cost(op).matrix_flops.count(); }

// Bytes asked of the tensor called `name`.
std::uint64_t loaded(const hardware::TileProgram& program, const std::string& name) {
  hardware::TileProgram only = program;
  const auto is_other = [&](const hardware::Box& box) { return program.tensors[box.tensor].name != name; };
  for (hardware::CtaClass& cta : only.classes) {
    for (hardware::Role& role : cta.roles) {
      role.ops.erase(std::remove_if(role.ops.begin(), role.ops.end(),
                                    [&](const hardware::Op& op) {
                                      if (const auto* load = std::get_if<hardware::LoadTile>(&op))
                                        return is_other(load->box);
                                      const auto* load = std::get_if<hardware::GlobalLoad>(&op);
                                      return load != nullptr && is_other(load->box);
                                    }),
                     role.ops.end());
    }
  }
  return hardware::totals(only).loaded.count();
}

void require_all_sound(const KernelSequence& sequence, const hardware::GpuSpec& gpu) {
  for (const hardware::TileProgram& kernel : sequence.kernels) require_sound(kernel, gpu);
}

std::uint64_t useful(const KernelSequence& sequence) {
  std::uint64_t sum = 0;
  for (const hardware::TileProgram& kernel : sequence.kernels) sum += hardware::totals(kernel).mma_useful.count();
  return sum;
}

}  // namespace

TEST_CASE("key blocks are dealt whole and in order, and parts stay within their load") {
  for (const std::uint64_t sequences : {1, 2, 7, 131, 132, 133, 1000}) {
    for (const std::uint64_t blocks : {1, 2, 63, 500}) {
      for (const std::uint64_t parts : {1, 26, 66, 132}) {
        const Deal deal = deal_key_blocks(sequences, blocks, parts);
        REQUIRE(deal.parts.size() == parts);
        const std::uint64_t load = (sequences * (blocks + 5) + parts - 1) / parts + 5;
        std::uint64_t sequence = 0, block = 0, slot = 0;
        for (const auto& part : deal.parts) {
          std::uint64_t taken = 0;
          for (const DealtPiece& piece : part) {
            REQUIRE((piece.sequence == sequence && piece.first_block == block && piece.blocks > 0));
            REQUIRE(piece.whole == (piece.blocks == blocks));
            if (!piece.whole) REQUIRE(piece.slot == slot++);
            taken += piece.blocks + 5;
            block += piece.blocks;
            if (block == blocks) {
              block = 0;
              ++sequence;
            }
          }
          REQUIRE(taken <= load);
        }
        REQUIRE((sequence == sequences && block == 0 && slot == deal.slots));
        REQUIRE(std::accumulate(deal.pieces.begin(), deal.pieces.end(), std::uint64_t{0}) >= sequences);
      }
    }
  }
}

TEST_CASE("absorbed attention: exact work, latents read once per 64 heads, output written once") {
  const hardware::GpuSpec gpu = hopper();
  for (const models::Attention& op :
       {absorbed(1, 16, 1, 5000), absorbed(3, 128, 1, 777), absorbed(200, 40, 1, 64), absorbed(132, 8, 1, 100),
        in_fp8(absorbed(2, 64, 1, 4096)), in_fp8(absorbed(300, 3, 1, 1))}) {
    const AttentionPlan plan = plan_flash_mla(op, gpu);
    const Deal deal = flash_mla_deal(op, plan, gpu);
    const hardware::TileProgram kernel = flash_mla(op, plan, gpu), combine = flash_mla_combine(op, deal);
    INFO(kernel.name << " batch " << op.batch << " heads " << op.heads << " keys " << op.kv_len);
    require_sound(kernel, gpu);
    require_sound(combine, gpu);
    require_sound(flash_mla_metadata(op, deal.parts.size()), gpu);
    REQUIRE(hardware::totals(kernel).mma_useful.count() == flops(op));
    const std::uint64_t tiles = (op.heads + 63) / 64, width = storage(op.kv, kKey).count();
    REQUIRE(loaded(kernel, "k") == tiles * op.batch * op.kv_len * width);
    const std::uint64_t whole = static_cast<std::uint64_t>(std::count(deal.pieces.begin(), deal.pieces.end(), 1u));
    REQUIRE(stored(kernel) == op.heads * (whole * kValue * 2 + deal.slots * (kValue * 4 + 4)));
    REQUIRE(stored(combine) == op.heads * (op.batch - whole) * kValue * 2);
    REQUIRE(loaded(combine, "partial_o") == deal.slots * op.heads * kValue * 4);
    REQUIRE(combine.cta_count() == op.batch * op.heads);
  }
}

TEST_CASE("absorbed attention by FlashAttention-3: prefill and decode") {
  const hardware::GpuSpec gpu = hopper();
  for (const models::Attention& op :
       {absorbed(2, 16, 300, 300), absorbed(1, 64, 100, 1000), absorbed(4, 128, 1, 5000), absorbed(64, 5, 1, 70)}) {
    const AttentionPlan plan = plan_flash_3_latent(op, gpu);
    const hardware::TileProgram kernel = flash_3_latent(op, plan, gpu);
    INFO(kernel.name);
    require_sound(kernel, gpu);
    REQUIRE(hardware::totals(kernel).mma_useful.count() == flops(op));
    if (plan.splits == 1) REQUIRE(stored(kernel) == op.batch * op.heads * op.q_len * kValue * 2);
    if (op.q_len == 1) REQUIRE(loaded(kernel, "k") == (op.heads + 63) / 64 * op.batch * op.kv_len * kKey * 2);
  }
}

TEST_CASE("expanded heads of 192 with values of 128 on every generation") {
  for (const hardware::GpuSpec& gpu : {ampere(), hopper(), blackwell()}) {
    for (const KernelLibrary library : {KernelLibrary::automatic, KernelLibrary::vllm, KernelLibrary::sglang,
                                        KernelLibrary::tensorrt_llm, KernelLibrary::flash_attention_2}) {
      for (models::Attention op : {expanded(2, 16, 1000, 1000), expanded(1, 3, 17, 500)}) {
        op.writes_kv_cache = true;
        const KernelSequence sequence = map_operator(op, gpu, {library});
        INFO(gpu.name << " " << sequence.note);
        require_all_sound(sequence, gpu);
        REQUIRE(useful(sequence) == flops(op));
      }
    }
  }
  const AttentionPlan plan = plan_attention(expanded(1, 16, 4096, 4096), hopper(), KernelLibrary::automatic);
  REQUIRE((plan.rows == 128 && plan.columns == 128 && plan.head_dim == 192 && plan.v_dim() == 128));
}

TEST_CASE("kernels before latent attention write Q, keys and the cache") {
  for (const models::Attention& op :
       {absorbed(70, 16, 1, 500), in_fp8(absorbed(5, 128, 1, 9)), expanded(3, 16, 50, 50)}) {
    const std::uint64_t tokens = op.batch * op.q_len, cached = storage(op.kv, kKey).count();
    const hardware::TileProgram token = append_latent_program(op, KernelLibrary::sglang);
    require_sound(token, hopper());
    REQUIRE(stored(token) == tokens * cached);
    const hardware::TileProgram rotation = append_latent_program(op, KernelLibrary::tensorrt_llm);
    require_sound(rotation, hopper());
    const bool narrow = op.kv != op.activation;
    const std::uint64_t query = op.values_in_keys ? storage(op.kv, narrow ? kKey : 64).count() : 2 * 64 * 2;
    REQUIRE(stored(rotation) == tokens * (cached + op.heads * query));
  }
  const models::Attention op = in_fp8(expanded(2, 8, 100, 100));
  REQUIRE(stored(quantize_heads_program(op)) == 2 * 100 * 8 * (192 + 192 + 128));
}

TEST_CASE("a batch that no schedule could list is refused") {
  const models::Attention huge = absorbed(std::uint64_t{1} << 32, 16, 1, 128);
  REQUIRE_THROWS_AS(map_operator(huge, hopper(), {}), ConfigError);
}

TEST_CASE("measured rows of latent attention") {
  OperatingPoint point;
  point.source = "aiconfigurator:trtllm-1.3.0rc20";
  point.gpu = "H100-SXM-80GB";
  point.op = "mla_decode";
  point.dtype = "bf16";
  point.kernel = "default";
  point.params = {{"batch", "4"}, {"heads", "16"}, {"q_len", "1"}, {"kv_len", "100"}, {"kv_lora", "512"},
                  {"rope", "64"}, {"nope", "128"}, {"v", "128"},   {"causal", "1"},   {"kv_dtype", "fp8"}};
  const auto only = [](const RowMapping& row) { return std::get<models::Attention>(row.mapped->operators.at(0)); };
  const models::Attention decode = only(map_row(point));
  REQUIRE((decode.head_dim == kKey && decode.v_dim() == kValue && decode.values_in_keys && decode.kv_heads == 1));
  REQUIRE(decode.kv == NumberFormat::fp8_e4m3);
  point.op = "mla_prefill";
  const models::Attention prefill = only(map_row(point));
  REQUIRE((prefill.head_dim == 192 && prefill.v_dim() == 128 && prefill.kv_heads == 16 && !prefill.values_in_keys));
  point.kernel = "flash_attention";
  REQUIRE(only(map_row(point)).values_in_keys);
  point.kernel = "vllm_triton_mla";
  REQUIRE(map_row(point).reason.find("timed") != std::string::npos);
}

TEST_CASE("absorbed attention on Blackwell and with warp instructions") {
  for (const models::Attention& op : {absorbed(1, 8, 1, 5000), absorbed(30, 64, 1, 777), absorbed(300, 16, 1, 64),
                                      absorbed(2, 128, 1, 9000), absorbed(200, 128, 1, 4096), absorbed(64, 64, 1, 8192),
                                      in_fp8(absorbed(4, 128, 1, 30000)), in_fp8(absorbed(500, 1, 1, 1))}) {
    for (const hardware::GpuSpec& gpu : {blackwell(), ampere()}) {
      for (const KernelLibrary library : {KernelLibrary::tensorrt_llm, KernelLibrary::vllm}) {
        const KernelSequence sequence = map_operator(op, gpu, {library});
        INFO(gpu.name << " " << sequence.kernels.front().name << " " << sequence.note);
        require_all_sound(sequence, gpu);
        REQUIRE(useful(sequence) == flops(op));
        REQUIRE(stored(sequence.kernels.back()) == op.batch * op.heads * kValue * 2);
      }
    }
  }
  // Two CTAs of 64 heads share the tiles of K: each fetches half.
  const models::Attention wide = absorbed(200, 128, 1, 4096);
  const hardware::TileProgram pairs = trtllm_gen_latent(wide, plan_trtllm_gen_latent(wide, blackwell()), blackwell());
  REQUIRE((pairs.cluster_size == 2 && pairs.cta_count() == 2 * 200));
  REQUIRE(plan_trtllm_gen_latent(absorbed(200, 8, 1, 4096), blackwell()).rows == 8);
  REQUIRE(plan_trtllm_gen_latent(absorbed(200, 32, 1, 4096), blackwell()).rows == 16);
  // TensorRT-LLM never splits keys on Ampere; Triton does, in four.
  REQUIRE(plan_sync_latent(absorbed(1, 16, 1, 9000), ampere(), false).splits == 1);
  REQUIRE(plan_sync_latent(absorbed(1, 16, 1, 9000), ampere(), true).splits == 4);
}

TEST_CASE("an indexer scores every pair, and attention to the chosen keys reads only those") {
  for (const hardware::GpuSpec& gpu : {hopper(), blackwell(), ampere()}) {
    for (const std::uint64_t queries : {1, 300}) {
      models::Attention scores{2, 64, 1, queries, 3000, 128};
      scores.value_dim = 1;
      scores.values_in_keys = true;
      const KernelSequence sequence = map_operator(scores, gpu, {});
      require_all_sound(sequence, gpu);
      REQUIRE(useful(sequence) == flops(scores) / 129 * 128);
    }
    models::Attention chosen = absorbed(3, 64, 1, 9000);
    chosen.window = 2048;
    const KernelSequence sequence = map_operator(chosen, gpu, {});
    require_all_sound(sequence, gpu);
    REQUIRE(useful(sequence) == flops(chosen));
    models::Attention prefill = absorbed(1, 64, 500, 900);
    prefill.window = 256;
    REQUIRE(useful(map_operator(prefill, gpu, {})) == flops(prefill));
  }
}
