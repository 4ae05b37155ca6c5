// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/kv_cache_kernels.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kAccessBytes = 16;
// Of sinf and cosf together (CUDA math library, arguments below 1e5): multiply-adds of the range reduction and of the
// two polynomials; conversions, selections and the test for large arguments.
constexpr std::uint64_t kAngleFp32 = 30, kAngleInt = 30, kAngleChain = 150;

std::uint32_t extent(std::uint64_t count) {
  if (count > UINT32_MAX) throw ConfigError("attention: more than 2^32 CTAs append to the KV cache");
  return static_cast<std::uint32_t>(count);
}

// ---- TensorRT-LLM ----------------------------------------------------------------------------------------------

// The matrices that one query head reads and writes: rows are tokens; cta1 = head within its group, cta2 = KV head.
struct HeadViews {
  MatrixView q, k, v, q_out, k_cache, v_cache;
  std::vector<Tensor> tensors;
};

HeadViews head_views(const models::Attention& op, NumberFormat multiply) {
  const std::uint64_t tokens = op.batch * op.q_len, group = op.heads / op.kv_heads;
  const std::uint64_t head = storage(op.activation, op.head_dim).count();
  const std::uint64_t pitch = (op.heads + 2 * op.kv_heads) * head;
  const auto input = [&](std::uint64_t first_head) {
    return MatrixView{0, tokens, head, pitch, {}, first_head * head};
  };
  HeadViews views{input(0), input(op.heads), input(op.heads + op.kv_heads), {}, {}, {}, {}};
  views.q.outer = {Term{Var::cta2, stride(group * head)}, Term{Var::cta1, stride(head)}, Term{}};
  views.k.outer[0] = views.v.outer[0] = Term{Var::cta2, stride(head)};
  const std::uint64_t out = storage(multiply, op.head_dim).count(), cached = storage(op.kv, op.head_dim).count();
  views.q_out = {1, tokens, out, op.heads * out, {}, 0};
  views.q_out.outer = {Term{Var::cta2, stride(group * out)}, Term{Var::cta1, stride(out)}, Term{}};
  views.k_cache = {2, tokens, cached, op.kv_heads * cached, {}, 0};
  views.k_cache.outer[0] = Term{Var::cta2, stride(cached)};
  views.v_cache = views.k_cache;
  views.v_cache.tensor = 3;
  const Bytes cache(tokens * op.kv_heads * cached);
  views.tensors = {{"qkv", Bytes(tokens * pitch), Residency::warm, false},
                   {"q", Bytes(tokens * op.heads * out), Residency::warm, true},
                   {"k_cache", cache, Residency::warm, true},
                   {"v_cache", cache, Residency::warm, true}};
  return views;
}

// Rotation of Q and K of `heads` rows: two multiply-adds per value, conversions both ways; addresses per access.
VectorWork rotation(const models::Attention& op, std::uint64_t rows) {
  const std::uint64_t values = 2 * rows * op.head_dim;
  VectorWork work;
  work.fp32_ops = 2 * values;
  work.fp32_flops = 3 * values;
  work.int_ops = values + rows * op.head_dim;
  return work;
}

// Adds the leader of each group, which stores K and V too, and the other query heads.
void add_heads(TileProgram& program, const models::Attention& op, const HeadViews& views, std::vector<Op> ops,
               const std::vector<CtaGroup>& groups, const std::function<Box(const MatrixView&)>& box,
               const std::vector<Op>& after) {
  append(ops, GlobalStore{box(views.q_out)});
  std::vector<Op> leader = ops;
  append(leader, GlobalStore{box(views.k_cache)}, GlobalStore{box(views.v_cache)}, after);
  append(ops, after);
  const std::uint32_t warps = program.threads_per_cta / 32;
  program.classes = {{"leader", {Role{"warps", warps, std::move(leader)}}, {}}};
  const auto group = static_cast<std::uint32_t>(op.heads / op.kv_heads);
  if (group > 1) program.classes.push_back({"others", {Role{"warps", warps, std::move(ops)}}, {}});
  for (CtaGroup heads : groups) {
    heads.extent[1] = 1;
    heads.extent[2] = static_cast<std::uint32_t>(op.kv_heads);
    program.groups.push_back(heads);
    if (group == 1) continue;
    heads.cta_class = 1;
    heads.extent[1] = group - 1;
    heads.origin[1] = 1;
    program.groups.push_back(heads);
  }
}

// applyBiasRopeUpdateKVCacheV2: CTAs of 256 threads that walk the tokens of a head, as many as 1024 threads per SM.
TileProgram rotate_by_table(const models::Attention& op, NumberFormat multiply, std::uint64_t table_positions) {
  constexpr std::uint64_t kThreads = 256;
  HeadViews views = head_views(op, multiply);
  const std::uint64_t head = storage(op.activation, op.head_dim).count();
  const std::uint64_t rows = std::max<std::uint64_t>(1, kThreads * kAccessBytes / head);
  const std::uint64_t tokens = op.batch * op.q_len;
  TileProgram program;
  program.name = fmt::format("qkv_preprocessing_{}_hd{}", name(op.activation), op.head_dim);
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 64;
  program.persistent = true;
  // Cosine and sine in single precision of each pair, read by each half of the head; token -> sequence, position.
  const std::uint64_t angle_bytes = 4 * op.head_dim, table_rows = std::min(table_positions, op.q_len);
  const auto table = static_cast<std::uint32_t>(views.tensors.size());
  views.tensors.push_back({"cos_sin", Bytes(table_rows * angle_bytes), Residency::warm, false});
  views.tensors.push_back({"token_info", Bytes(8 * tokens), Residency::warm, false});
  const MatrixView angles{table, table_rows, angle_bytes, angle_bytes, {}, 0};
  const MatrixView info{table + 1, tokens, 8, 8, {}, 0};
  const auto box = [&](const MatrixView& view) { return tile_box(view, Var::cta0, rows); };
  // Decode has one position per token; prefill walks the positions of a sequence.
  Box turn = tile_box(angles, Var::none, std::min(rows, table_rows));
  std::vector<Op> ops;
  append(ops, GlobalLoad{box(info)}, WaitLoads{}, GlobalLoad{box(views.q)}, GlobalLoad{box(views.k)},
         GlobalLoad{box(views.v)}, GlobalLoad{turn}, WaitLoads{}, rotation(op, rows), CtaBarrier{0});
  CtaGroup group;
  group.extent[0] = extent(ceil_div(tokens, rows));
  program.tensors = views.tensors;
  add_heads(program, op, views, std::move(ops), {group}, box, {});
  return program;
}

// applyBiasRopeUpdateKVCache: a warp per position and head, which goes over the sequences of its share of the batch.
TileProgram rotate_by_angle(const models::Attention& op, NumberFormat multiply, std::uint32_t sm_count) {
  constexpr std::uint64_t kWarpsPerSm = 32, kFewestSequences = 4;
  const std::uint64_t per_thread = std::max<std::uint64_t>(1, op.head_dim / 32);
  HeadViews views = head_views(op, multiply);
  TileProgram program;
  program.name = fmt::format("qkv_preprocessing_angles_{}_hd{}", name(op.activation), op.head_dim);
  program.threads_per_cta = 32;
  program.registers_per_thread = 64;
  const auto lengths = static_cast<std::uint32_t>(views.tensors.size());
  views.tensors.push_back({"lengths", Bytes(4 * op.batch), Residency::warm, false});
  const MatrixView length{lengths, op.batch, 4, 4, {}, 0};
  // A row of the views is a token; this position of sequence loop0.
  const auto box = [&](const MatrixView& view) {
    Box one = tile_box(view, Var::loop0, 1);
    one.row_step = op.q_len;
    const Term position{Var::cta0, stride(view.pitch_bytes)};
    *std::find_if(one.outer.begin(), one.outer.end(), [](const Term& t) { return t.var == Var::none; }) = position;
    return one;
  };
  // sinf and cosf in single precision: range reduction and polynomial of each.
  VectorWork angles;
  angles.fp32_ops = 32 * per_thread * kAngleFp32;
  angles.int_ops = 32 * per_thread * kAngleInt;
  angles.dependent_cycles = kAngleChain;
  std::vector<Op> ops;
  append(ops, angles, LoopBegin{0}, GlobalLoad{tile_box(length, Var::loop0, 1)}, WaitLoads{}, GlobalLoad{box(views.q)},
         GlobalLoad{box(views.k)}, GlobalLoad{box(views.v)}, WaitLoads{}, rotation(op, 1));
  const std::uint64_t shares =
      std::min(ceil_div(sm_count * kWarpsPerSm, op.q_len * op.heads), ceil_div(op.batch, kFewestSequences));
  const std::uint64_t each = ceil_div(op.batch, shares);
  std::vector<CtaGroup> groups;
  for (std::uint64_t first = 0; first < op.batch; first += each) {
    CtaGroup group;
    group.extent[0] = extent(op.q_len);
    group.loops[0] = {stride(first), stride(std::min(each, op.batch - first))};
    groups.push_back(group);
  }
  program.tensors = views.tensors;
  std::vector<Op> end;
  append(end, LoopEnd{});
  add_heads(program, op, views, std::move(ops), groups, box, end);
  return program;
}

}  // namespace

TileProgram qkv_preprocessing_program(const models::Attention& op, NumberFormat multiply, std::uint64_t table_positions,
                                      std::uint32_t sm_count) {
  if (op.kv_len > table_positions) return rotate_by_angle(op, multiply, sm_count);
  return rotate_by_table(op, multiply, table_positions);
}

TileProgram reshape_and_cache_program(const models::Attention& op) {
  constexpr std::uint64_t kMostThreads = 512;
  const std::uint64_t tokens = op.batch * op.q_len, values = op.kv_heads * op.head_dim;
  const std::uint64_t row = storage(op.activation, values).count(), cached = storage(op.kv, values).count();
  TileProgram program;
  program.name = fmt::format("reshape_and_cache_{}_{}", name(op.activation), name(op.kv));
  program.threads_per_cta = static_cast<std::uint32_t>(round_up(std::min(values, kMostThreads), 32));
  program.registers_per_thread = 32;
  const Bytes input(tokens * row), cache(tokens * cached);
  program.tensors = {{"slots", Bytes(8 * tokens), Residency::warm, false},
                     {"k", input, Residency::warm, false},
                     {"v", input, Residency::warm, false},
                     {"k_cache", cache, Residency::warm, true},
                     {"v_cache", cache, Residency::warm, true}};
  const auto token = [&](std::uint32_t tensor, std::uint64_t bytes) {
    return tile_box({tensor, tokens, bytes, bytes, {}, 0}, Var::cta0, 1);
  };
  VectorWork addresses;  // slot -> page and place in it, two 64-bit divisions
  addresses.int_ops = 100ull * program.threads_per_cta;
  addresses.dependent_cycles = 150;
  VectorWork convert;
  if (op.kv != op.activation) convert.fp32_ops = 12 * values;  // an IEEE division by the scale
  convert.int_ops = values;
  std::vector<Op> ops;
  append(ops, GlobalLoad{token(0, 8)}, WaitLoads{}, addresses, GlobalLoad{token(1, row)}, WaitLoads{}, convert,
         GlobalStore{token(3, cached)}, GlobalLoad{token(2, row)}, WaitLoads{}, convert, GlobalStore{token(4, cached)});
  program.classes = {{"token", {Role{"threads", program.threads_per_cta / 32, std::move(ops)}}, {}}};
  CtaGroup group;
  group.extent[0] = extent(tokens);
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
