// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/attention_layout.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kCombinedRows = 4;          // of one CTA of the merging kernel, one warp each
constexpr std::uint64_t kMaskIntOps = 2;            // compare and select
constexpr std::uint64_t kRowReductionCycles = 100;  // two shuffles each for the maximum and the sum
constexpr std::uint64_t kSetUpCycles = 1500;  // calibrated: decode CTAs of aiconfigurator cost 5-8 thousand cycles,
constexpr std::uint64_t kSynchronousSetUpCycles = 2500;  // more where the warps that multiply also fetch (mma.sync)
constexpr std::uint64_t kBlockTableCycles = 1000;        // before any data: lengths, then block table, then addresses

constexpr std::uint64_t kShareRows = 64;  // of a warpgroup of Hopper

}  // namespace

AttentionLayout::AttentionLayout(const models::Attention& op, const AttentionPlan& plan, const GpuSpec& gpu)
    : op_(op), plan_(plan), generation_(gpu.sm.tensor.generation), sm_count_(gpu.sm_count) {
  group_ = op.heads / op.kv_heads;
  rows_ = plan.packed ? op.q_len * group_ : op.q_len;
  row_divisor_ = plan.packed ? static_cast<std::uint32_t>(group_) : 1;
  tiles_ = ceil_div(rows_, plan.rows);
  masked_ = op.causal;
  keys_ = !op.causal && op.window > 0 ? std::min(op.window, op.kv_len) : op.kv_len;
  window_ = op.causal && op.window < op.kv_len ? op.window : 0;

  const bool narrowed = !plan.narrows_q && info(plan.multiply).bits < info(op.q_format()).bits;
  q_ = add_queries("q", op.head_dim, narrowed ? plan.multiply : op.q_format(), false);
  k_ = add_keys("k", op.head_dim);
  v_ = op.values_in_keys ? k_ : add_keys("v", op.v_dim());
  v_.row_bytes = storage(op.kv, op.v_dim()).count();
  if (plan.splits == 1 || plan.dealt_parts > 0) o_ = add_queries("o", op.v_dim(), op.o_format(), true);
  if (plan.splits > 1) add_partial_results();
  add_spills(gpu);
}

MatrixView AttentionLayout::add_queries(const char* name, std::uint64_t dim, NumberFormat format, bool written) {
  const std::uint64_t row = storage(format, dim).count();
  const std::uint64_t sequence = op_.q_len * op_.heads * row;
  MatrixView view{static_cast<std::uint32_t>(tensors_.size()), rows_, row, plan_.packed ? row : op_.heads * row, {}, 0};
  view.outer = {Term{Var::cta2, stride(plan_.packed ? rows_ * row : group_ * row)}, Term{Var::cta3, stride(sequence)},
                plan_.packed ? Term{} : Term{Var::cta1, stride(row)}};
  if (plan_.whole_boxes && !plan_.packed && !written) view.rows = round_up(rows_, plan_.rows);
  const std::uint64_t beyond = (view.rows - rows_) * view.pitch_bytes;  // of the last sequence
  tensors_.push_back({name, Bytes(op_.batch * sequence + beyond), Residency::warm, written});
  return view;
}

MatrixView AttentionLayout::add_keys(const char* name, std::uint64_t dim) {
  const std::uint64_t row = storage(op_.kv, dim).count();
  const std::uint64_t sequence = op_.kv_len * op_.kv_heads * row;
  const std::uint64_t rows = plan_.whole_boxes ? round_up(keys_, plan_.columns) : keys_;
  MatrixView view{static_cast<std::uint32_t>(tensors_.size()), rows, row, op_.kv_heads * row, {}, 0};
  view.outer = {Term{Var::cta2, stride(row)}, Term{Var::cta3, stride(sequence)}, Term{}};
  tensors_.push_back({name, Bytes(op_.batch * sequence + (rows - keys_) * view.pitch_bytes), Residency::cold, false});
  return view;
}

// Where parts are dealt, cta1 counts them over all sequences.
void AttentionLayout::add_partial_results() {
  const std::uint64_t sequences = plan_.dealt_parts > 0 ? 1 : op_.batch;
  const std::uint64_t parts = plan_.dealt_parts > 0 ? plan_.dealt_parts : plan_.splits;
  const std::uint64_t all_rows = parts * sequences * op_.kv_heads * rows_;
  const auto add = [&](const char* name, std::uint64_t row) {
    MatrixView view{static_cast<std::uint32_t>(tensors_.size()), rows_, row, row, {}, 0};
    view.outer = {Term{Var::cta2, stride(rows_ * row)},
                  sequences == 1 ? Term{} : Term{Var::cta3, stride(rows_ * row * op_.kv_heads)},
                  Term{Var::cta1, stride(rows_ * row * op_.kv_heads * sequences)}};
    tensors_.push_back({name, Bytes(all_rows * row), Residency::warm, true});
    return view;
  };
  partial_ = add("partial_o", op_.v_dim() * 4);
  sums_ = add("log_sum_exp", 4);
}

void AttentionLayout::add_spills(const GpuSpec& gpu) {
  const std::uint64_t all = spilled_bytes() * (plan_.rows / kShareRows);
  spills_beyond_l1_ = all > gpu.sm.l1_and_shared.count() - shared_memory(plan_).count();
  if (spills_beyond_l1_) tensors_.push_back({"spills", Bytes(all), Residency::warm, true});
}

TileProgram AttentionLayout::start(const std::string& kernel) const {
  TileProgram program;
  program.name =
      fmt::format("{}_{}_hd{}{}_{}x{}{}{}{}{}", kernel, name(plan_.multiply), plan_.head_dim,
                  plan_.v_dim() != plan_.head_dim ? fmt::format("v{}", plan_.v_dim()) : "", plan_.rows, plan_.columns,
                  op_.causal ? "_causal" : "", window_ > 0 ? "_window" : "", plan_.packed ? "_packed" : "",
                  plan_.splits > 1 ? fmt::format("_split{}", plan_.splits) : "");
  program.tensors = tensors_;
  program.shared_memory_per_cta = shared_memory(plan_);
  return program;
}

LoopRange AttentionLayout::blocks_of(std::uint64_t tile) const {
  const auto columns = static_cast<std::int64_t>(plan_.columns);
  const auto keys = static_cast<std::int64_t>(keys_);
  std::int64_t first = 0, last = keys - 1;
  if (masked_) {
    const auto diagonal = static_cast<std::int64_t>(op_.kv_len) - static_cast<std::int64_t>(op_.q_len);
    const auto top = static_cast<std::int64_t>(query_of(tile * plan_.rows));
    const auto bottom = static_cast<std::int64_t>(query_of(std::min((tile + 1) * plan_.rows, rows_) - 1));
    last = std::clamp<std::int64_t>(bottom + diagonal, 0, keys - 1);
    if (window_ > 0) first = std::clamp<std::int64_t>(top + diagonal - static_cast<std::int64_t>(window_) + 1, 0, last);
  }
  return {first / columns, last / columns - first / columns + 1};
}

void AttentionLayout::add_group(std::vector<CtaGroup>& groups, const Section& section, std::uint64_t tile,
                                std::uint64_t tiles, LoopRange blocks) const {
  CtaGroup group;
  group.extent = {static_cast<std::uint32_t>(tiles), static_cast<std::uint32_t>(plan_.packed ? 1 : group_),
                  static_cast<std::uint32_t>(section.heads), static_cast<std::uint32_t>(section.sequences)};
  group.origin = {static_cast<std::int64_t>(tile), 0, static_cast<std::int64_t>(section.first_head),
                  static_cast<std::int64_t>(section.first_sequence)};
  const auto splits = std::int64_t{plan_.splits};
  std::int64_t first = blocks.first;
  for (std::int64_t part = 0; part < splits; ++part) {
    const std::int64_t count = blocks.count / splits + (part < blocks.count % splits ? 1 : 0);
    if (count == 0) break;  // a tile with fewer key blocks than parts
    if (plan_.splits > 1) group.origin[1] = part;
    group.loops = {LoopRange{first, count}, LoopRange{first, count - 1}};
    groups.push_back(group);
    first += count;
  }
}

// Causal tiles are not dealt tile by tile over all heads: their keys would not stay in the L2 cache. Longest-first
// schedulers (FlashAttention-3, hopper/tile_scheduler.hpp) go through as many KV heads at a time as fit 32 MB; the
// plain grid of FlashAttention-2 has the tiles of a head next to each other, so a section is as small as fills the GPU.
std::vector<AttentionLayout::Section> AttentionLayout::sections(std::uint64_t runs) const {
  constexpr std::uint64_t kHeldInL2 = 32u << 20;
  constexpr std::uint64_t kMostGroups = 1024;  // beyond this the description grows faster than what it says
  const std::uint64_t heads = op_.kv_heads * op_.batch;
  const std::uint64_t widths = op_.head_dim + (op_.values_in_keys ? 0 : op_.v_dim());
  const std::uint64_t head_bytes = storage(op_.kv, keys_ * widths).count();
  const std::uint64_t per_head = tiles_ * (plan_.packed ? 1 : group_);
  std::uint64_t at_once = plan_.longest_first ? kHeldInL2 / head_bytes : ceil_div(2ull * sm_count_, per_head);
  at_once = std::max<std::uint64_t>({at_once, 1, ceil_div(heads * runs, kMostGroups)});
  if (!masked_ || at_once >= heads) return {{0, op_.kv_heads, 0, op_.batch}};
  std::vector<Section> out;
  if (at_once >= op_.kv_heads) {
    const std::uint64_t sequences = at_once / op_.kv_heads;
    for (std::uint64_t s = 0; s < op_.batch; s += sequences) {
      out.push_back({0, op_.kv_heads, s, std::min(sequences, op_.batch - s)});
    }
    return out;
  }
  for (std::uint64_t s = 0; s < op_.batch; ++s) {
    for (std::uint64_t h = 0; h < op_.kv_heads; h += at_once) {
      out.push_back({h, std::min(at_once, op_.kv_heads - h), s, 1});
    }
  }
  return out;
}

std::vector<CtaGroup> AttentionLayout::groups() const {
  if (tiles_ > UINT32_MAX || op_.batch > UINT32_MAX || op_.heads > UINT32_MAX) {
    throw ConfigError("attention: a dimension of the grid is larger than 2^32");
  }
  // Tiles that see the same blocks stand in one group.
  struct Run {
    std::uint64_t tile, tiles;
    LoopRange blocks;
  };
  std::vector<Run> runs;
  for (std::uint64_t done = 0; done < tiles_;) {
    const auto tile_at = [&](std::uint64_t i) { return plan_.longest_first ? tiles_ - 1 - i : i; };
    const LoopRange blocks = blocks_of(tile_at(done));
    std::uint64_t run = masked_ ? 1 : tiles_;
    while (masked_ && done + run < tiles_) {
      const LoopRange next = blocks_of(tile_at(done + run));
      if (next.first != blocks.first || next.count != blocks.count) break;
      ++run;
    }
    runs.push_back({plan_.longest_first ? tiles_ - done - run : done, run, blocks});
    done += run;
  }
  std::vector<CtaGroup> groups;
  for (const Section& section : sections(runs.size())) {
    for (const Run& run : runs) add_group(groups, section, run.tile, run.tiles, run.blocks);
  }
  return groups;
}

LoadTile AttentionLayout::load_q(std::uint8_t pipe) const {
  return {pipe, tile_box(q_, Var::cta0, plan_.rows), CopyPath::bulk, 1};
}

Box AttentionLayout::share_box(const MatrixView& view, std::uint32_t share, std::uint32_t shares) const {
  Box box = tile_box(view, Var::cta0, plan_.rows / shares);
  box.row_step = plan_.rows;
  box.first_row = std::uint64_t{share} * box.rows;
  return box;
}

std::vector<Op> AttentionLayout::gather_q(std::uint32_t share, std::uint32_t shares) const {
  const std::uint64_t bytes = plan_.rows / shares * storage(plan_.multiply, plan_.head_dim).count();
  return {GlobalLoad{share_box(q_, share, shares)}, WaitLoads{}, SharedAccess{0, bytes}};
}

// A paged cache is gathered page by page: no bulk tile on Hopper (FlashAttention-3's non-TMA path); there cp.async,
// which FlashAttention-2 uses, goes through the load/store unit too.
LoadTile AttentionLayout::load_k(std::uint8_t pipe, Var loop, std::uint32_t ahead) const {
  Box box = tile_box(k_, loop, plan_.columns);
  box.first_row = std::uint64_t{ahead} * plan_.columns;
  const bool gather =
      ((op_.paged && !plan_.bulk_pages) || plan_.mma_sync) && generation_ != TensorCoreGeneration::mma_sync;
  return {pipe, box, gather ? CopyPath::lsu : CopyPath::bulk, 1};
}

LoadTile AttentionLayout::load_v(std::uint8_t pipe, Var loop) const {
  LoadTile load = load_k(pipe, loop, 0);
  load.box = tile_box(v_, loop, plan_.columns);
  return load;
}

std::vector<Op> AttentionLayout::transpose_v() const {
  // Transposed loads of shared memory swap pairs of bytes; a permutation of each word puts them right.
  const std::uint64_t bytes = plan_.columns * storage(plan_.multiply, plan_.v_dim()).count();
  VectorWork permute;
  permute.int_ops = bytes / 4;
  return {SharedAccess{bytes, 0}, permute, SharedAccess{0, bytes}};
}

Mma AttentionLayout::scores(std::uint32_t share, std::uint32_t shares, Var loop, std::uint32_t ahead) const {
  Mma mma;
  mma.m = plan_.rows / shares;
  mma.n = plan_.columns;
  mma.k = plan_.head_dim;
  mma.format = plan_.multiply;
  const std::uint64_t row = storage(plan_.multiply, plan_.head_dim).count();
  const std::uint64_t readers = plan_.mma_sync ? plan_.warps : 1;
  mma.shared_read_bytes = mma.m * row + readers * mma.n * row;
  UsefulPart& useful = mma.useful;
  useful.m_var = Var::cta0;
  useful.m_step = plan_.rows;
  useful.m_first = std::uint64_t{share} * mma.m;
  useful.m_extent = rows_;
  useful.n_var = loop;
  useful.n_step = plan_.columns;
  useful.n_first = std::uint64_t{ahead} * plan_.columns;
  useful.n_extent = keys_;
  useful.k_extent = op_.head_dim;
  useful.mask = masked_ ? MaskKind::causal : MaskKind::none;
  useful.diagonal = static_cast<std::int64_t>(op_.kv_len) - static_cast<std::int64_t>(op_.q_len);
  useful.window = window_;
  useful.row_divisor = row_divisor_;
  return mma;
}

Mma AttentionLayout::values(std::uint32_t share, std::uint32_t shares, Var loop) const {
  const bool by_columns = plan_.values_by_columns;
  Mma mma = by_columns ? scores(0, 1, loop, 0) : scores(share, shares, loop, 0);
  mma.k = mma.n;
  mma.n = plan_.v_dim() / (by_columns ? shares : 1);
  mma.a = OperandSource::registers;  // P never leaves the registers
  const std::uint64_t readers = plan_.mma_sync ? plan_.warps : 1;
  mma.shared_read_bytes = readers * plan_.columns * storage(plan_.multiply, mma.n).count();
  UsefulPart& useful = mma.useful;
  useful.columns_are_k = true;
  useful.k_var = loop;
  useful.k_step = plan_.columns;
  useful.k_extent = keys_;
  useful.n_var = Var::none;
  useful.n_step = 0;
  useful.n_first = by_columns ? std::uint64_t{share} * mma.n : 0;
  useful.n_extent = op_.v_dim();
  return mma;
}

std::vector<Op> AttentionLayout::softmax(std::uint32_t shares, Score score) const {
  const std::uint64_t rows = plan_.rows / shares;
  const std::uint64_t scores = rows * plan_.columns;
  // Three steps that depend on each other: the maximum of each row, the exponentials, their sum and conversion.
  // Minimum, maximum and conversion run on the ALU pipe (64 lanes: CUDA programming guide, throughput table).
  VectorWork maximum;
  maximum.int_ops = scores + 2 * rows;
  maximum.fp32_flops = scores;
  maximum.dependent_cycles = kRowReductionCycles;
  if (score == Score::masked && masked_) {
    const std::uint64_t diagonal_blocks = ceil_div(ceil_div(plan_.rows, row_divisor_), plan_.columns) + 1;
    maximum.int_ops += kMaskIntOps * scores * diagonal_blocks * (window_ > 0 ? 2 : 1);
  } else if (score == Score::masked && keys_ % plan_.columns != 0) {
    maximum.int_ops += kMaskIntOps * scores;
  }
  VectorWork exponentials;
  exponentials.fp32_ops = scores + 2 * rows;  // one FMA scales and subtracts the maximum
  exponentials.fp32_flops = 2 * scores;
  exponentials.sfu_ops = scores + rows;
  VectorWork sum;
  sum.fp32_ops = scores;
  sum.fp32_flops = scores;
  sum.int_ops = scores / 2;  // two values per conversion
  // A narrow cache is widened on the way when the tensor core does not take its format.
  if (info(op_.kv).bits < info(plan_.multiply).bits) sum.fp32_ops += 2ull * plan_.columns * plan_.head_dim / shares;
  return {maximum, exponentials, sum};
}

std::uint64_t AttentionLayout::spilled_bytes() const {
  if (!plan_.promotes) return 0;
  constexpr std::uint64_t kThreads = 128, kOther = 24;  // of a warpgroup; registers for addresses and row sums
  const std::uint64_t shares = plan_.rows / kShareRows;
  const std::uint64_t limit = shares <= 2 ? 240 : 160;  // setmaxnreg (flash_fwd_kernel_sm90.h)
  // O twice and packed probabilities; fp32 scores of the next block too, except where the kernel multiplies them
  // afterwards (head_dim 256, paged: IntraWGOverlap off).
  const std::uint64_t scores = plan_.head_dim == 256 && op_.paged ? 0 : plan_.columns;
  const std::uint64_t needed = kShareRows * (2 * plan_.v_dim() + scores + plan_.columns / 4) / kThreads + kOther;
  return needed > limit ? (needed - limit) * kThreads * 4 : 0;
}

std::vector<Op> AttentionLayout::promote(std::uint32_t share) const {
  if (!plan_.promotes) return {};
  VectorWork work;
  work.fp32_ops = 3 * kShareRows * plan_.v_dim();  // set aside, clear, add
  const std::uint64_t spilled = spilled_bytes();
  if (spilled == 0) return {work};
  // The L1 is the same memory as shared memory, and of the same width, as far as it holds them.
  if (!spills_beyond_l1_) return {work, SharedAccess{spilled, spilled}};
  Box box =
      tile_box({static_cast<std::uint32_t>(tensors_.size() - 1), plan_.rows / kShareRows, spilled, spilled, {}, 0},
               Var::none, 1);
  box.first_row = share;
  return {GlobalStore{box}, GlobalLoad{box}, WaitLoads{}, work};
}

VectorWork AttentionLayout::rescale(std::uint32_t shares) const {
  VectorWork work;
  work.fp32_ops = std::uint64_t{plan_.rows} / shares * plan_.v_dim();
  return work;
}

std::vector<Op> AttentionLayout::finish(std::uint32_t share, std::uint32_t shares, CopyPath path) const {
  return plan_.splits > 1 ? finish_part(share, shares) : finish_whole(share, shares, path);
}

// Each share normalises as many values, whether it holds rows or columns of O.
VectorWork AttentionLayout::normalise(std::uint32_t shares) const {
  const std::uint64_t rows = plan_.rows / shares;
  VectorWork work;
  work.fp32_ops = 2 * rows * plan_.v_dim();  // times 1/sum, convert
  work.fp32_flops = rows * op_.v_dim();
  work.sfu_ops = 2 * rows;
  work.dependent_cycles = kRowReductionCycles;
  return work;
}

Box AttentionLayout::output_box(const MatrixView& view, std::uint32_t share, std::uint32_t shares) const {
  if (!plan_.values_by_columns) return share_box(view, share, shares);
  Box box = tile_box(view, Var::cta0, plan_.rows, Var::none, view.row_bytes / shares);
  box.first_column_byte += share * box.row_bytes;
  return box;
}

std::vector<Op> AttentionLayout::finish_part(std::uint32_t share, std::uint32_t shares) const {
  std::vector<Op> ops{normalise(shares), GlobalStore{output_box(partial_, share, shares), CopyPath::lsu}};
  if (!plan_.values_by_columns) append(ops, GlobalStore{share_box(sums_, share, shares), CopyPath::lsu});
  if (plan_.values_by_columns && share == 0) append(ops, GlobalStore{share_box(sums_, 0, 1), CopyPath::lsu});
  return ops;
}

std::vector<Op> AttentionLayout::finish_whole(std::uint32_t share, std::uint32_t shares, CopyPath path) const {
  const std::uint64_t staged = plan_.rows / shares * storage(op_.o_format(), plan_.v_dim()).count();
  return {normalise(shares), SharedAccess{path == CopyPath::lsu ? staged : 0, staged},
          GlobalStore{output_box(o_, share, shares), path}};
}

Delay AttentionLayout::set_up() const {
  return {(plan_.mma_sync ? kSynchronousSetUpCycles : kSetUpCycles) + (op_.paged ? kBlockTableCycles : 0)};
}

TileProgram AttentionLayout::idle_combine() const {
  TileProgram program;
  program.name = "attention_combine_idle";
  program.tensors = {{"parts", Bytes(4 * op_.batch), Residency::warm, false}};
  program.threads_per_cta = 128;
  program.registers_per_thread = 64;
  const MatrixView parts{0, op_.batch, 4, 4, {}, 0};
  program.classes = {{"rows", {Role{"warps", 4, {GlobalLoad{tile_box(parts, Var::cta1, 1)}, WaitLoads{}}}}, {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(ceil_div(op_.q_len * op_.heads, kCombinedRows));
  group.extent[1] = static_cast<std::uint32_t>(op_.batch);
  program.groups = {group};
  return program;
}

TileProgram AttentionLayout::combine() const {
  if (plan_.splits == 1) return idle_combine();
  const std::uint64_t all_rows = op_.batch * op_.kv_heads * rows_;
  const std::uint64_t per_cta = kCombinedRows;
  TileProgram program;
  program.name = fmt::format("attention_combine_{}_hd{}_split{}", name(op_.o_format()), op_.v_dim(), plan_.splits);
  program.tensors = {tensors_[partial_.tensor],
                     tensors_[sums_.tensor],
                     {"o", Bytes(all_rows * storage(op_.o_format(), op_.v_dim()).count()), Residency::warm, true}};
  program.tensors[0].written = program.tensors[1].written = false;
  program.threads_per_cta = static_cast<std::uint32_t>(per_cta * 32);
  program.registers_per_thread = 64;
  const auto rows_of = [&](std::uint32_t tensor, std::uint64_t row_bytes, bool part) {
    MatrixView view{tensor, all_rows, row_bytes, row_bytes, {}, 0};
    if (part) view.outer[0] = {Var::loop0, stride(all_rows * row_bytes)};
    return tile_box(view, Var::cta0, per_cta);
  };
  const std::uint64_t values = per_cta * op_.v_dim();
  VectorWork scale, sum;
  scale.sfu_ops = per_cta * plan_.splits;
  scale.fp32_ops = 3 * per_cta * plan_.splits;
  scale.dependent_cycles = kRowReductionCycles;
  sum.fp32_ops = values;
  Role role{"warps", static_cast<std::uint32_t>(per_cta), {}};
  append(role.ops, LoopBegin{0}, GlobalLoad{rows_of(1, 4, true)}, LoopEnd{}, WaitLoads{}, scale, CtaBarrier{0},
         LoopBegin{0}, GlobalLoad{rows_of(0, op_.v_dim() * 4, true)});
  if (plan_.serial_combine) append(role.ops, WaitLoads{});
  append(role.ops, sum, LoopEnd{}, WaitLoads{}, sum,
         GlobalStore{rows_of(2, storage(op_.o_format(), op_.v_dim()).count(), false), CopyPath::lsu});
  program.classes = {{"rows", {role}, {}}};
  CtaGroup group;
  group.extent[0] = static_cast<std::uint32_t>(ceil_div(all_rows, per_cta));
  group.loops[0] = {0, plan_.splits};
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
