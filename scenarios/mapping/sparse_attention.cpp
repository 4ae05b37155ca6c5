// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/sparse_attention.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <set>

#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/attention_tiles.h"
#include "scenarios/mapping/program_parts.h"
#include "scenarios/mapping/sparse_tiles.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::SparseAttention;

namespace {

constexpr std::uint64_t kSmallestRows = 16;  // of a matrix instruction
constexpr std::uint64_t kIndexBytes = 4;

std::uint64_t group_of(const SparseAttention& op) { return op.heads / op.kv_heads; }

// The dense kernel over as many keys as the last query sees.
models::Attention dense(const SparseAttention& op) {
  models::Attention out;
  out.batch = op.batch;
  out.heads = op.heads;
  out.kv_heads = op.kv_heads;
  out.q_len = op.q_len;
  out.kv_len = op.kv_len;
  out.head_dim = op.head_dim;
  out.causal = false;
  out.activation = op.activation;
  out.kv = op.kv;
  // Blocks smaller than a tile are fetched row by row, as pages are.
  out.paged = op.paged || (op.keys.chosen > 0 && op.keys.block < 64);
  return out;
}

// A tile for few rows on warp instructions.
AttentionPlan small_tile(const SparseAttention& op, const GpuSpec& gpu, std::uint64_t rows) {
  const auto columns = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(round_up(op.keys.block, 16), 64, 128));
  const auto width = static_cast<std::uint32_t>(round_up(op.head_dim, 32));
  if (width > 256)
    throw ConfigError(fmt::format("sparse attention: head_dim {} is too wide; kernels go up to 256", op.head_dim));
  const auto padded = static_cast<std::uint32_t>(round_up(rows, kSmallestRows));
  const TileRow row{
      width, padded, columns, columns, columns, columns, static_cast<std::uint32_t>(padded / kSmallestRows)};
  const models::Attention op_dense = dense(op);
  AttentionPlan plan = plan_tile(op_dense, multiply_format(op_dense, gpu), row);
  plan.mma_sync = true;
  plan.stages = 1;
  shrink_to_fit(plan, gpu);
  return plan;
}

struct Chosen {
  AttentionPlan plan;
  std::uint64_t rows = 0;   // of a tile that count
  std::uint64_t parts = 1;  // of the keys, summed by different CTAs
};

// Scores of different keys need no summing up: each part writes its own, and nothing is merged.
Chosen in_parts(const SparseAttention& op, Chosen chosen) {
  chosen.parts = chosen.plan.splits;
  if (op.scored_block > 0) chosen.plan.splits = chosen.plan.most_splits = 1;
  return chosen;
}

Chosen choose(const SparseAttention& op, const GpuSpec& gpu, KernelLibrary library) {
  const bool listed = op.keys.chosen > 0;
  if (op.keys.per_query) {
    const std::uint64_t rows = op.keys.per_head ? 1 : group_of(op);
    Chosen out{small_tile(op, gpu, rows), rows};
    out.plan.packed = !op.keys.per_head && rows > 1;
    if (op.q_len == 1 && out.plan.packed) {
      const std::uint64_t blocks = ceil_div(seen_keys(op, 0).total(), out.plan.columns);
      out.plan.splits =
          split_heuristic(op.batch * op.kv_heads, gpu.sm_count, std::max<std::uint64_t>(1, blocks), SplitRule::even);
      out.plan.most_splits = out.plan.splits;
    }
    return in_parts(op, out);
  }
  if (listed && op.keys.block < 64) return {small_tile(op, gpu, op.keys.block), op.keys.block};
  models::Attention like = dense(op);
  like.causal = true;
  like.window = std::max<std::uint64_t>(1, seen_keys(op, op.q_len - 1).total());
  AttentionPlan plan =
      plan_attention(like, gpu, library == KernelLibrary::tensorrt_llm ? KernelLibrary::automatic : library);
  plan.whole_boxes = false;  // keys are those that a tile's pattern names
  // Queries of different blocks have different lists, and so stand in different tiles.
  if (!listed || op.keys.block % plan.rows == 0) return in_parts(op, {plan, plan.rows});
  return {small_tile(op, gpu, 64), 64};
}

// How many pairs one execution of a tile's matrix instructions counts: those of its loop, and the one outside.
struct BlockPairs {
  std::uint64_t inside = 0, outside = 0;
};
BlockPairs block_pairs(std::uint64_t pairs, std::uint64_t blocks, std::uint64_t most) {
  if (blocks == 1) return {0, pairs};
  const std::uint64_t inside = pairs >= (blocks - 1) * most ? most : pairs / blocks;
  return {inside, pairs - (blocks - 1) * inside};
}

class SparseProgram {
 public:
  SparseProgram(const SparseAttention& op, const Chosen& chosen, const GpuSpec& gpu)
      : op_(op), plan_(chosen.plan), rows_(chosen.rows), parts_(chosen.parts) {
    const models::Attention like = dense(op);
    program_ = plan_.mma_sync ? flash_attention_2(like, plan_, gpu) : flash_attention_3(like, plan_, gpu);
    template_ = program_.classes.front();
    shares_ = query_shares(plan_, gpu);
    program_.classes.clear();
    program_.groups.clear();
    program_.name = fmt::format("sparse_{}_s{}_r{}_k{}", program_.name, op.keys.blocks_seen(), rows_, op.keys.step);
    if (op.scored_block > 0) {
      const std::uint64_t heads = op.keys.per_query && !op.keys.per_head ? op.kv_heads : op.heads;
      program_.tensors[3] = {"scores", Bytes(op.batch * op.q_len * heads * score_row()), Residency::warm, true};
      program_.name += "_scores";
    }
    if (op.keys.chosen > 0) {
      lists_ = static_cast<std::uint32_t>(program_.tensors.size());
      list_rows_ = ceil_div(op.q_len * (plan_.packed ? group_of(op) : 1), rows_);
      const std::uint64_t heads = op.keys.per_head ? op.heads : op.kv_heads;
      program_.tensors.push_back(
          {"lists of blocks", Bytes(op.batch * heads * list_rows_ * list_bytes()), Residency::warm, false});
    }
  }

  TileProgram build() {
    const TileRows shape{rows_, shares_, plan_.packed ? group_of(op_) : 1, plan_.columns};
    for (const TileRun& run : tile_runs(op_, shape)) add_run(run);
    if (plan_.longest_first) std::reverse(program_.groups.begin(), program_.groups.end());
    return std::move(program_);
  }

 private:
  [[nodiscard]] std::uint64_t list_bytes() const { return models::list_length(op_) * kIndexBytes; }
  // Bytes of the scores of one query: a value per block.
  [[nodiscard]] std::uint64_t score_row() const {
    return 4 * ceil_div(op_.tokens == 0 ? op_.kv_len : op_.tokens, op_.scored_block);
  }
  [[nodiscard]] std::uint64_t share_rows() const { return plan_.rows / shares_; }

  // The pairs of a run over its tiles as evenly as whole numbers allow: the first tiles have one more.
  void add_run(const TileRun& run) {
    std::set<std::uint64_t> ends{run.tiles};
    for (const std::uint64_t pairs : run.pairs) {
      if (pairs % run.tiles > 0) ends.insert(pairs % run.tiles);
    }
    std::uint64_t begin = 0;
    for (const std::uint64_t end : ends) {
      std::vector<std::uint64_t> pairs;
      for (const std::uint64_t all : run.pairs) pairs.push_back(all / run.tiles + (begin < all % run.tiles ? 1 : 0));
      add_tiles(run, begin, end - begin, pairs);
      begin = end;
    }
  }

  void add_tiles(const TileRun& run, std::uint64_t begin, std::uint64_t count,
                 const std::vector<std::uint64_t>& pairs) {
    std::uint64_t first_block = 0;
    std::vector<std::uint64_t> rest = pairs;
    for (std::uint64_t part = 0; part < parts_; ++part) {
      const std::uint64_t blocks = run.blocks / parts_ + (part < run.blocks % parts_ ? 1 : 0);
      if (blocks == 0) break;
      std::vector<BlockPairs> per_share;
      const bool last = first_block + blocks == run.blocks;
      for (std::size_t s = 0; s < shares_; ++s) {
        const std::uint64_t part_pairs = last ? rest[s] : std::min(rest[s], pairs[s] / run.blocks * blocks);
        rest[s] -= part_pairs;
        per_share.push_back(block_pairs(part_pairs, blocks, share_rows() * plan_.columns));
      }
      CtaGroup group;
      group.cta_class = class_of(run, per_share, part == 0);
      group.extent = {static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(plan_.packed ? 1 : group_of(op_)),
                      static_cast<std::uint32_t>(op_.kv_heads), static_cast<std::uint32_t>(op_.batch)};
      group.origin[0] = static_cast<std::int64_t>(begin);
      if (parts_ > 1) group.origin[1] = static_cast<std::int64_t>(part);
      const auto first = static_cast<std::int64_t>(first_block), turns = static_cast<std::int64_t>(blocks);
      group.loops = {LoopRange{first, turns}, LoopRange{first, turns - 1}};
      program_.groups.push_back(group);
      first_block += blocks;
    }
  }

  decltype(CtaGroup::cta_class) class_of(const TileRun& run, const std::vector<BlockPairs>& pairs, bool counts_rows) {
    if (program_.classes.size() > std::numeric_limits<decltype(CtaGroup::cta_class)>::max()) {
      throw ConfigError(
          "sparse attention: the sequence is too long: more kinds of query tiles than a program can list");
    }
    CtaClass cta = template_;
    std::size_t share = 0;
    for (Role& role : cta.roles) {
      bool multiplies = false, inside = false;
      for (Op& op : role.ops) {
        if (std::holds_alternative<LoopBegin>(op)) inside = true;
        if (std::holds_alternative<LoopEnd>(op)) inside = false;
        const std::uint64_t counted = share >= shares_ ? 0 : inside ? pairs[share].inside : pairs[share].outside;
        if (auto* mma = std::get_if<Mma>(&op)) {
          multiplies = true;
          if (mma->useful.m_extent == 0) continue;  // time without work
          mma->useful.pairs = counted;
          if (counted == 0) mma->useful.m_extent = 0;
        } else if (auto* work = std::get_if<VectorWork>(&op)) {
          recount(*work, counted, share < shares_ && counts_rows ? run.rows[share] : 0);
        } else if (auto* load = std::get_if<LoadTile>(&op)) {
          move(load->box, run);
        } else if (auto* plain = std::get_if<GlobalLoad>(&op)) {
          move(plain->box, run);
        } else if (auto* store = std::get_if<GlobalStore>(&op)) {
          if (op_.scored_block > 0 && store->box.tensor == 3) {
            store->box = score_box(store->box, run);
            store->path = CopyPath::lsu;
          } else {
            move(store->box, run);
          }
        }
      }
      if (multiplies) ++share;
      if (op_.scored_block > 0) drop_values(role);
    }
    if (op_.keys.chosen > 0) read_list(cta.roles.front(), run);
    program_.classes.push_back(std::move(cta));
    return class_index(program_.classes.size() - 1);
  }

  // Scores alone: V is neither loaded nor multiplied, and softmax waits for the scores.
  static void drop_values(Role& role) {
    constexpr std::uint8_t kValues = 1;  // the pipe of V (attention_program.cpp)
    const auto of_values = [](const Op& op) {
      if (const auto* load = std::get_if<LoadTile>(&op)) return load->pipe == kValues;
      if (const auto* stage = std::get_if<AcquireStage>(&op)) return stage->pipe == kValues;
      if (const auto* stage = std::get_if<CommitStage>(&op)) return stage->pipe == kValues;
      if (const auto* stage = std::get_if<WaitStage>(&op)) return stage->pipe == kValues;
      if (const auto* stage = std::get_if<ReleaseStage>(&op)) return stage->pipe == kValues;
      const auto* mma = std::get_if<Mma>(&op);
      return mma != nullptr && mma->useful.columns_are_k;
    };
    role.ops.erase(std::remove_if(role.ops.begin(), role.ops.end(), of_values), role.ops.end());
    for (Op& op : role.ops) {
      if (auto* wait = std::get_if<MmaWait>(&op)) wait->allowed_in_flight = 0;
    }
  }

  // A row per query and KV head where a tile is one query, else a row per query and head.
  [[nodiscard]] Box score_box(const Box& output, const TileRun& run) const {
    const std::uint64_t row = score_row(), group = group_of(op_);
    const auto bytes = [&](std::uint64_t rows) { return static_cast<std::int64_t>(rows * row); };
    const bool summed = op_.keys.per_query && !op_.keys.per_head, side_by_side = summed || !plan_.packed;
    const std::uint64_t heads = summed ? op_.kv_heads : op_.heads;
    MatrixView view{3, op_.q_len, row, heads * row, {}, 0};
    view.outer = {Term{Var::cta2, bytes(summed ? 1 : group)}, Term{Var::cta3, bytes(op_.q_len * heads)},
                  summed || group == 1 ? Term{} : Term{Var::cta1, bytes(1)}};
    if (!side_by_side) {  // packed rows: the heads of a KV head lie together
      view = {3, op_.q_len * group, row, row, {}, 0};
      view.outer = {Term{Var::cta2, bytes(op_.q_len * group)}, Term{Var::cta3, bytes(op_.q_len * heads)}, Term{}};
    }
    Box box = tile_box(view, Var::cta0, summed ? 1 : std::min<std::uint64_t>(output.rows, rows_));
    if (parts_ > 1) {  // each part writes the scores of its blocks
      box.column_var = Var::cta1;
      box.row_bytes = round_up(ceil_div(row, parts_), 4);
    }
    box.row_step = summed ? 1 : rows_;
    box.first_row = (summed ? 0 : output.first_row) + run.first * box.row_step;
    return box;
  }

  // FLOPs that count: of softmax those of the pairs, of the last division those of the rows.
  void recount(VectorWork& work, std::uint64_t pairs, std::uint64_t rows) const {
    if (work.fp32_flops == 0) return;
    const std::uint64_t scores = share_rows() * plan_.columns;
    const bool division = work.sfu_ops == 2 * share_rows() && work.fp32_ops == 2 * share_rows() * plan_.head_dim;
    work.fp32_flops = division ? (op_.scored_block > 0 ? 0 : rows * op_.head_dim) : work.fp32_flops / scores * pairs;
  }

  // Keys and values of the run's blocks; query rows of the run's tiles.
  void move(Box& box, const TileRun& run) const {
    if (box.tensor == 1 || box.tensor == 2) {
      const std::uint64_t ahead = box.first_row / plan_.columns;
      box.row_step = run.spacing;
      box.first_row = run.first_key + ahead * run.spacing;
      box.outer[2] = {Var::cta0, static_cast<std::int64_t>(run.drift * box.row_pitch_bytes)};
    } else if (box.tensor <= (plan_.splits > 1 ? 4u : 3u)) {
      box.rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(box.rows, rows_));
      box.row_step = rows_;
      box.first_row += run.first * rows_;
    }
  }

  // A row per tile: tiles within a block read the same list, each its own copy of it here.
  void read_list(Role& role, const TileRun& run) const {
    const std::uint64_t members = op_.keys.per_head ? group_of(op_) : 1, of_head = list_rows_ * list_bytes();
    MatrixView view{lists_, list_rows_, list_bytes(), list_bytes(), {}, 0};
    view.outer = {Term{Var::cta2, static_cast<std::int64_t>(members * of_head)},
                  Term{Var::cta3, static_cast<std::int64_t>(op_.kv_heads * members * of_head)},
                  members > 1 ? Term{Var::cta1, static_cast<std::int64_t>(of_head)} : Term{}};
    Box box = tile_box(view, Var::cta0, 1);
    box.first_row = run.first;
    role.ops.insert(role.ops.begin(), {Op{GlobalLoad{box}}, Op{WaitLoads{}}});
  }

  const SparseAttention& op_;
  AttentionPlan plan_;
  std::uint64_t rows_, parts_, shares_ = 1;
  std::uint32_t lists_ = 0;
  std::uint64_t list_rows_ = 0;
  TileProgram program_;
  CtaClass template_;
};

}  // namespace

KernelSequence map_sparse_attention(const SparseAttention& op, const GpuSpec& gpu, const MappingOptions& options) {
  (void)models::cost(models::Operator(op));  // sizes are sound
  if (op.v_dim() != op.head_dim) {
    throw ConfigError(
        fmt::format("sparse attention with heads of {} and values of {} has no kernels yet", op.head_dim, op.v_dim()));
  }
  const Chosen chosen = choose(op, gpu, options.library);
  KernelSequence sequence;
  sequence.kernels.push_back(SparseProgram(op, chosen, gpu).build());
  if (chosen.plan.splits > 1) sequence.kernels.push_back(AttentionLayout(dense(op), chosen.plan, gpu).combine());
  sequence.note = fmt::format("tiles of {} of {} rows x {} keys{}, key splits {}", chosen.rows, chosen.plan.rows,
                              chosen.plan.columns, chosen.plan.packed ? ", heads packed" : "", chosen.plan.splits);
  if (occupancy(sequence.kernels.front(), gpu.sm) == 0) {
    throw ConfigError(gpu.name + ": the sparse attention kernel does not fit one of its SMs");
  }
  return sequence;
}

}  // namespace lightcone::scenarios
