// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/mla_attention.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/attention_tiles.h"
#include "scenarios/mapping/elementwise.h"
#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/mla_cache_kernels.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

// Pipes of a CTA, in the order in which they are declared.
constexpr std::uint8_t kK = 0, kQ = 1, kP = 2, kTurned = 3;  // FlashMLA
constexpr std::uint8_t kOut = 1;                             // FlashAttention-3, instead of Q
constexpr std::uint8_t kBlockStart = 0, kTileEnd = 1;        // barriers
constexpr std::uint32_t kWarpgroup = 4, kHalves = 2;

std::uint64_t probability_bytes(const AttentionPlan& plan) {
  return plan.rows * storage(plan.multiply, plan.columns).count();
}

// S of a block, its softmax, P for the other warpgroup, and this one's half of O += P V.
std::vector<Op> score_block(const AttentionLayout& layout, const AttentionPlan& plan, Score score, bool in_step) {
  std::vector<Op> ops;
  append(ops, WaitStage{kK});
  if (in_step) append(ops, CtaBarrier{kBlockStart});
  append(ops, layout.scores(0, 1, Var::loop1, 0), MmaWait{0}, layout.softmax(1, score), AcquireStage{kP},
         SharedAccess{0, probability_bytes(plan)}, CommitStage{kP}, layout.rescale(kHalves));
  if (plan.transposes_v) append(ops, WaitStage{kTurned});
  append(ops, layout.values(0, kHalves, Var::loop1), MmaWait{0}, ReleaseStage{kK});
  if (plan.transposes_v) append(ops, ReleaseStage{kTurned});
  return ops;
}

// The other half; `between` stands between the wait for K and the wait for P.
std::vector<Op> value_block(const AttentionLayout& layout, const AttentionPlan& plan, const std::vector<Op>& between) {
  std::vector<Op> ops;
  append(ops, WaitStage{kK}, between, WaitStage{kP}, SharedAccess{probability_bytes(plan), 0}, ReleaseStage{kP},
         layout.rescale(kHalves));
  if (plan.transposes_v) append(ops, WaitStage{kTurned});
  append(ops, layout.values(1, kHalves, Var::loop1), MmaWait{0}, ReleaseStage{kK});
  if (plan.transposes_v) append(ops, ReleaseStage{kTurned});
  return ops;
}

LoadTile by_threads(LoadTile load) {
  load.path = CopyPath::lsu;
  return load;
}

// One word each, of the sequence: its length, then the first entry of its block table, which needs the length.
struct Lookups {
  Box length, block_table;
};

Lookups add_lookups(const models::Attention& op, const AttentionPlan& plan, TileProgram& program) {
  const auto words = [&](const char* name, std::uint64_t per_sequence) {
    const auto tensor = static_cast<std::uint32_t>(program.tensors.size());
    program.tensors.push_back({name, Bytes(4 * op.batch * per_sequence), Residency::warm, false});
    return tile_box({tensor, op.batch, 4, 4 * per_sequence, {}, 0}, Var::cta3, 1);
  };
  return {words("lengths", 1), words("block_table", ceil_div(op.kv_len, plan.columns))};
}

// ---- FlashMLA ------------------------------------------------------------------------------------------------

Role flash_mla_scores(const AttentionLayout& layout, const AttentionPlan& plan, const std::vector<Op>& finish) {
  Role role{"scores", kWarpgroup, {}};
  append(role.ops, WaitStage{kQ}, LoopBegin{1}, score_block(layout, plan, Score::plain, true), LoopEnd{},
         score_block(layout, plan, Score::masked, true), ReleaseStage{kQ}, CtaBarrier{kTileEnd}, finish);
  return role;
}

Role flash_mla_values(const AttentionLayout& layout, const AttentionPlan& plan, const std::vector<Op>& finish) {
  std::vector<Op> between{CtaBarrier{kBlockStart}};
  if (plan.transposes_v) append(between, AcquireStage{kTurned}, layout.transpose_v(), CommitStage{kTurned});
  Role role{"values", kWarpgroup, {}};
  append(role.ops, LoopBegin{1}, value_block(layout, plan, between), LoopEnd{}, value_block(layout, plan, between),
         CtaBarrier{kTileEnd}, finish);
  return role;
}

// The copies of the second warpgroup: cp.async leaves the warps that issue it at once, so they get a role of their own.
// A stage is free again after the barrier at the start of a block; the next sequence waits for the end of this one.
Role flash_mla_copies(const AttentionLayout& layout, const Lookups& lookups) {
  Role role{"copies", 1, {}};
  append(role.ops, GlobalLoad{lookups.length}, WaitLoads{}, GlobalLoad{lookups.block_table}, WaitLoads{},
         AcquireStage{kQ}, by_threads(layout.load_q(kQ)), CommitStage{kQ}, LoopBegin{0}, AcquireStage{kK},
         by_threads(layout.load_k(kK, Var::loop0, 0)), CommitStage{kK}, LoopEnd{}, CtaBarrier{kTileEnd});
  return role;
}

CtaClass flash_mla_class(const AttentionLayout& layout, const AttentionPlan& plan, const Lookups& lookups, bool whole) {
  const auto finish = [&](std::uint32_t half) {
    return whole ? layout.finish_whole(half, kHalves, CopyPath::lsu) : layout.finish_part(half, kHalves);
  };
  CtaClass cta{whole ? "whole" : "part",
               {flash_mla_copies(layout, lookups), flash_mla_scores(layout, plan, finish(0)),
                flash_mla_values(layout, plan, finish(1))},
               {{"k", plan.stages, kHalves}, {"q", 1, 1}, {"p", 1, 1}}};
  if (plan.transposes_v) cta.pipes.push_back({"v_transposed", 1, kHalves});
  return cta;
}

constexpr std::uint8_t kWhole = 0, kPart = 1, kIdle = 2;  // classes of a dealt kernel

void drop_unused_classes(TileProgram& program) {
  std::vector<CtaClass> kept;
  std::vector<std::optional<std::uint8_t>> place(program.classes.size());
  for (CtaGroup& group : program.groups) {
    std::optional<std::uint8_t>& at = place[group.cta_class];
    if (!at) {
      at = static_cast<std::uint8_t>(kept.size());
      kept.push_back(program.classes[group.cta_class]);
    }
    group.cta_class = *at;
  }
  program.classes = std::move(kept);
}

// Work item i of a persistent kernel belongs to CTA i modulo their number: piece r of every part stands in round r, and
// an empty CTA where a part has none.
std::vector<CtaGroup> dealt_groups(const Deal& deal, std::uint32_t tiles, std::uint32_t slots) {
  std::vector<CtaGroup> groups;
  const std::uint64_t rounds = deal.rounds();
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (const auto& part : deal.parts) {
      CtaGroup group;
      group.extent[0] = tiles;
      if (round < part.size()) {
        const DealtPiece& piece = part[round];
        const auto first = static_cast<std::int64_t>(piece.first_block);
        const auto count = static_cast<std::int64_t>(piece.blocks);
        group.cta_class = piece.whole ? kWhole : kPart;
        group.origin = {0, static_cast<std::int64_t>(piece.slot), 0, static_cast<std::int64_t>(piece.sequence)};
        group.loops = {LoopRange{first, count}, LoopRange{first, count - 1}};
      } else if (round + 1 < rounds) {
        group.cta_class = kIdle;
      } else {
        continue;
      }
      groups.push_back(group);
    }
    const auto used = static_cast<std::uint32_t>(deal.parts.size() * tiles);
    if (round + 1 < rounds && used < slots) {
      CtaGroup rest;
      rest.cta_class = kIdle;
      rest.extent[0] = slots - used;
      groups.push_back(rest);
    }
  }
  return groups;
}

std::uint64_t rows_of(const models::Attention& op) { return op.q_len * query_heads_per_kv_head(op); }

}  // namespace

AttentionPlan latent_tile(const models::Attention& op, NumberFormat multiply) {
  AttentionPlan plan;
  plan.rows = plan.columns = 64;
  plan.warps = 2 * kWarpgroup;
  plan.head_dim = static_cast<std::uint32_t>(round_up(op.head_dim, 64));
  plan.value_dim = static_cast<std::uint32_t>(round_up(op.v_dim(), 64));
  plan.multiply = multiply;
  plan.packed = plan.values_in_keys = plan.values_by_columns = true;
  return plan;
}

AttentionPlan plan_flash_mla(const models::Attention& op, const GpuSpec& gpu) {
  AttentionPlan plan = latent_tile(op, multiply_format(op, gpu));
  plan.transposes_v = info(plan.multiply).bits == 8;
  shrink_to_fit(plan, gpu);
  const Deal deal = flash_mla_deal(op, plan, gpu);
  plan.dealt_parts = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, deal.slots));
  plan.splits = static_cast<std::uint32_t>(*std::max_element(deal.pieces.begin(), deal.pieces.end()));
  plan.most_splits = static_cast<std::uint32_t>(deal.parts.size());
  return plan;
}

Deal flash_mla_deal(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const std::uint64_t tiles = ceil_div(rows_of(op), plan.rows);
  const std::uint64_t parts = std::max<std::uint64_t>(1, gpu.sm_count / tiles);
  return deal_key_blocks(op.batch, ceil_div(keys_in_window(op), plan.columns), parts);
}

TileProgram flash_mla(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  const Deal deal = flash_mla_deal(op, plan, gpu);
  TileProgram program = layout.start("flash_mla");
  program.shared_memory_per_cta = program.shared_memory_per_cta + Bytes(probability_bytes(plan));
  program.persistent = true;
  // 256 threads of 255 registers; the role of the copies is a warp of those.
  program.threads_per_cta = 32 * (2 * kWarpgroup + 1);
  program.registers_per_thread = 224;
  const Lookups lookups = add_lookups(op, plan, program);
  // A resident CTA keeps roles, pipes and barriers from item to item; an empty one meets at them and no more.
  const CtaClass whole = flash_mla_class(layout, plan, lookups, true);
  CtaClass idle = whole;
  idle.name = "idle";
  idle.roles[0].ops = {CtaBarrier{kTileEnd}};
  for (const std::size_t computing : {1, 2})
    idle.roles[computing].ops = {CtaBarrier{kBlockStart}, CtaBarrier{kTileEnd}};
  program.classes = {whole, idle, idle};
  if (deal.slots > 0) program.classes[kPart] = flash_mla_class(layout, plan, lookups, false);
  program.groups = dealt_groups(deal, static_cast<std::uint32_t>(ceil_div(rows_of(op), plan.rows)), gpu.sm_count);
  drop_unused_classes(program);
  return program;
}

TileProgram flash_mla_metadata(const models::Attention& op, std::uint64_t parts) {
  constexpr std::uint64_t kPartBytes = 32;   // five words, padded to eight
  constexpr std::uint64_t kStepCycles = 30;  // one thread's loop over shared memory, per sequence and per part
  const std::uint64_t lengths = 4 * op.batch, pieces = 4 * (op.batch + 1), out = kPartBytes * parts;
  TileProgram program;
  program.name = "flash_mla_metadata";
  program.tensors = {{"lengths", Bytes(lengths), Residency::warm, false},
                     {"parts", Bytes(out), Residency::warm, true},
                     {"pieces", Bytes(pieces), Residency::warm, true}};
  const auto all = [](std::uint32_t tensor, std::uint64_t bytes) {
    return tile_box({tensor, 1, bytes, bytes, {}, 0}, Var::none, 1);
  };
  program.classes = {
      {"deal",
       {Role{"warp",
             1,
             {GlobalLoad{all(0, lengths)}, WaitLoads{}, lane_work(0, 64 * round_up(op.batch, 32), 0, 300),
              Delay{kStepCycles * (op.batch + parts)}, GlobalStore{all(1, out)}, GlobalStore{all(2, pieces)}}}},
       {}}};
  program.groups = {CtaGroup{}};
  program.threads_per_cta = 32;
  program.registers_per_thread = 64;
  return program;
}

TileProgram flash_mla_combine(const models::Attention& op, const Deal& deal) {
  constexpr std::uint32_t kWarps = 4;
  const std::uint64_t rows = rows_of(op), slots = std::max<std::uint64_t>(1, deal.slots);
  const std::uint64_t part = op.v_dim() * 4, out = storage(op.activation, op.v_dim()).count();
  TileProgram program;
  program.name = fmt::format("flash_mla_combine_{}_v{}", name(op.activation), op.v_dim());
  program.tensors = {{"pieces", Bytes(4 * (op.batch + 1)), Residency::warm, false},
                     {"partial_o", Bytes(slots * rows * part), Residency::warm, false},
                     {"log_sum_exp", Bytes(slots * rows * 4), Residency::warm, false},
                     {"o", Bytes(op.batch * rows * out), Residency::warm, true}};
  program.threads_per_cta = 32 * kWarps;
  program.registers_per_thread = 64;
  const auto row_of = [&](std::uint32_t tensor, std::uint64_t bytes, Var outer) {
    MatrixView view{tensor, rows, bytes, bytes, {}, 0};
    view.outer[0] = {outer, static_cast<std::int64_t>(rows * bytes)};
    return tile_box(view, Var::cta0, 1);
  };
  const Box pieces = tile_box({0, op.batch + 1, 4, 4, {}, 0}, Var::cta3, 1);
  Role merge{"warps", kWarps, {}};
  append(merge.ops, GlobalLoad{pieces}, WaitLoads{}, LoopBegin{0}, GlobalLoad{row_of(2, 4, Var::loop0)}, LoopEnd{},
         WaitLoads{}, lane_work(32 * 12, 32 * 8, 32 * 8, 400), CtaBarrier{0}, LoopBegin{0},
         GlobalLoad{row_of(1, part, Var::loop0)}, lane_work(op.v_dim(), 0, 0, 0), LoopEnd{}, WaitLoads{},
         lane_work(op.v_dim(), 0, 0, 0), GlobalStore{row_of(3, out, Var::cta3)});
  Role leave{"warps", kWarps, {GlobalLoad{pieces}, WaitLoads{}}};
  program.classes = {{"merge", {merge}, {}}, {"leave", {leave}, {}}};
  for (std::uint64_t s = 0; s < op.batch;) {
    CtaGroup group;
    group.extent[0] = static_cast<std::uint32_t>(rows);
    group.origin[3] = static_cast<std::int64_t>(s);
    std::uint64_t run = 1;
    if (deal.pieces[s] > 1) {
      group.loops[0] = {static_cast<std::int64_t>(deal.first_slot[s]), static_cast<std::int64_t>(deal.pieces[s])};
    } else {
      while (s + run < op.batch && deal.pieces[s + run] == 1) ++run;
      group.cta_class = 1;
      group.extent[3] = static_cast<std::uint32_t>(run);
    }
    program.groups.push_back(group);
    s += run;
  }
  drop_unused_classes(program);
  return program;
}

// ---- FlashAttention-3 ----------------------------------------------------------------------------------------

AttentionPlan plan_flash_3_latent(const models::Attention& op, const GpuSpec& gpu) {
  // No 8-bit kernel has values wider than the keys of its first product: a narrow cache is widened beforehand.
  AttentionPlan plan = latent_tile(op, op.activation);
  plan.longest_first = op.causal;
  plan.bulk_pages = !op.paged;
  shrink_to_fit(plan, gpu);
  deal_to_sms(plan, op, gpu);
  return plan;
}

TileProgram flash_3_latent(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu) {
  const AttentionLayout layout(op, plan, gpu);
  TileProgram program = layout.start("flash_attention_3");
  program.shared_memory_per_cta = program.shared_memory_per_cta + Bytes(probability_bytes(plan));
  program.persistent = true;
  program.threads_per_cta = 3 * 32 * kWarpgroup;
  program.registers_per_thread = 168;
  const std::uint32_t fetching = op.paged && !plan.bulk_pages ? kWarpgroup : 1;
  Role producer{"producer", fetching, {}};
  // O leaves through the memory of V: no copy for the next tile before it is gone (barrier_O of the main loop).
  append(producer.ops, layout.set_up(), AcquireStage{kOut}, CommitStage{kOut}, LoopBegin{0}, AcquireStage{kK},
         layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, LoopEnd{});
  // Both warpgroups gather half of the rows of Q, and meet.
  const auto gather = [&](std::uint32_t half) {
    std::vector<Op> ops{layout.set_up()};
    append(ops, layout.gather_q(half, kHalves), CtaBarrier{kTileEnd});
    return ops;
  };
  const auto leave = [&](std::uint32_t half) {
    std::vector<Op> ops;
    append(ops, layout.finish(half, kHalves, CopyPath::lsu), WaitStage{kOut}, WaitStores{}, ReleaseStage{kOut});
    return ops;
  };
  Role scores{"scores", kWarpgroup, gather(0)};
  append(scores.ops, LoopBegin{1}, score_block(layout, plan, Score::plain, false), LoopEnd{},
         score_block(layout, plan, Score::masked, false), leave(0));
  Role values{"values", kWarpgroup, gather(1)};
  append(values.ops, LoopBegin{1}, value_block(layout, plan, {}), LoopEnd{}, value_block(layout, plan, {}), leave(1));
  program.classes = {
      {"tile", {producer, scores, values}, {{"k", plan.stages, kHalves}, {"o", 1, kHalves}, {"p", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

// ---- Choice --------------------------------------------------------------------------------------------------

namespace {

void add_flash_mla(const models::Attention& op, const GpuSpec& gpu, KernelSequence& sequence) {
  const AttentionPlan plan = plan_flash_mla(op, gpu);
  const Deal deal = flash_mla_deal(op, plan, gpu);
  sequence.kernels.push_back(flash_mla_metadata(op, deal.parts.size()));
  sequence.kernels.push_back(flash_mla(op, plan, gpu));
  sequence.kernels.push_back(flash_mla_combine(op, deal));
  sequence.note = fmt::format("FlashMLA tile {}x{}, {} parts, {} pieces merged", plan.rows, plan.columns,
                              deal.parts.size(), deal.slots);
}

void add_flash_3(const models::Attention& op, const GpuSpec& gpu, KernelSequence& sequence) {
  const AttentionPlan plan = plan_flash_3_latent(op, gpu);
  if (op.kv != op.activation) {
    // The whole cache, before every call (SGLang, flashattention_backend.py: get_key_buffer(...).to(q.dtype)).
    sequence.kernels.push_back(
        convert_program(checked_product("latent cache", {op.batch, op.kv_len, op.head_dim}), op.kv, op.activation));
  }
  models::Attention widened = op;
  widened.kv = op.activation;
  sequence.kernels.push_back(plan_lengths(op));
  sequence.kernels.push_back(flash_3_latent(widened, plan, gpu));
  if (plan.most_splits > 1) sequence.kernels.push_back(AttentionLayout(widened, plan, gpu).combine());
  sequence.note =
      fmt::format("FlashAttention-3 for latents, tile {}x{}, key splits {}", plan.rows, plan.columns, plan.splits);
}

// One kernel and, where it splits keys, the merging one.
void add_one_kernel(const models::Attention& op, const GpuSpec& gpu, const MappingOptions& options,
                    KernelSequence& sequence) {
  const bool sync = gpu.sm.tensor.generation == TensorCoreGeneration::mma_sync;
  if (!sync && options.library == KernelLibrary::sglang) {
    // Both parts of Q into one tensor, in the format of the cache (trtllm_mla_backend.py, forward_decode).
    sequence.kernels.push_back(elementwise_program(
        {models::ElementwiseKind::copy, checked_product("latent queries", {op.batch, op.q_len, op.heads, op.head_dim}),
         op.activation, op.activation},
        gpu, KernelLibrary::automatic));
  }
  const AttentionPlan plan = sync ? plan_sync_latent(op, gpu, options.library != KernelLibrary::tensorrt_llm)
                                  : plan_trtllm_gen_latent(op, gpu);
  sequence.kernels.push_back(sync ? sync_latent(op, plan, gpu) : trtllm_gen_latent(op, plan, gpu));
  if (plan.splits > 1) sequence.kernels.push_back(AttentionLayout(op, plan, gpu).combine());
  sequence.note = fmt::format("latents, tile {}x{}, key splits {}", plan.rows, plan.columns, plan.splits);
}

void require_fit(const KernelSequence& sequence, const GpuSpec& gpu) {
  for (const TileProgram& kernel : sequence.kernels) {
    if (occupancy(kernel, gpu.sm) == 0)
      throw ConfigError(gpu.name + ": " + kernel.name + " does not fit one of its SMs");
  }
}

constexpr std::uint64_t kMostSequences = std::uint64_t{1} << 22;

}  // namespace

KernelSequence map_latent_attention(const models::Attention& whole, const GpuSpec& gpu, const MappingOptions& options) {
  if (whole.kv_heads != 1) throw ConfigError("attention to latents: kernels take one KV head");
  // Its schedule lists every sequence.
  if (whole.batch > kMostSequences) throw ConfigError("attention to latents: more than 4194304 sequences");
  KernelSequence sequence;
  if (whole.v_dim() == 1) {
    sequence.kernels.push_back(indexer_scores(whole, gpu));
    sequence.note = sequence.kernels.front().name;
    require_fit(sequence, gpu);
    return sequence;
  }
  models::Attention op = whole;
  if (op.q_len == 1 && op.window > 0) {  // the chosen keys, gathered one by one as the pages of a cache are
    op.kv_len = std::min(op.kv_len, op.window);
    op.window = 0;
  }
  const bool hopper = gpu.sm.tensor.generation == TensorCoreGeneration::wgmma;
  if (op.writes_kv_cache) {
    if (hopper && options.library == KernelLibrary::sglang && op.kv != op.activation) {
      // Latent and positional key are converted by a call each (memory_pool.py, set_mla_kv_buffer).
      const std::uint64_t tokens = op.batch * op.q_len;
      sequence.kernels.push_back(convert_program(tokens * op.v_dim(), op.activation, op.kv));
      sequence.kernels.push_back(convert_program(tokens * (op.head_dim - op.v_dim()), op.activation, op.kv));
    }
    sequence.kernels.push_back(append_latent_program(op, options.library));
  }
  if (!hopper) {
    add_one_kernel(op, gpu, options, sequence);
    require_fit(sequence, gpu);
    return sequence;
  }
  const bool one_query = op.q_len == 1 || !op.causal;
  const bool flash_3 = options.library == KernelLibrary::sglang || options.library == KernelLibrary::vllm ||
                       options.library == KernelLibrary::flash_attention_3;
  if (flash_3 || !one_query) {
    add_flash_3(op, gpu, sequence);
  } else {
    add_flash_mla(op, gpu, sequence);
  }
  require_fit(sequence, gpu);
  return sequence;
}

}  // namespace lightcone::scenarios
