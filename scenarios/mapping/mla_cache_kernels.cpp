// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/mla_cache_kernels.h"

#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kLatent = 512, kPositional = 64;  // values
constexpr std::uint64_t kThreads = 256, kWarps = kThreads / 32;
constexpr std::uint64_t kHeadTokens = 32, kLatentTokens = 4;  // of a CTA: 16 bytes per thread
constexpr std::uint64_t kLatentCtas = kHeadTokens / kLatentTokens;

std::uint32_t extent(std::uint64_t count) {
  if (count > UINT32_MAX) throw ConfigError("attention: more than 2^32 CTAs append to the latent cache");
  return static_cast<std::uint32_t>(count);
}

std::uint64_t bytes_of(NumberFormat format, std::uint64_t values) { return storage(format, values).count(); }

// Builds a kernel of CTAs that each move one box of a few tensors; cta3 = sequence of a prefill.
class Rotation {
 public:
  Rotation(const models::Attention& op, bool absorbed) : op_(op), absorbed_(absorbed) {
    // A decode step is one run of tokens, a prefill has the tokens of each sequence.
    sequences_ = absorbed ? 1 : op.batch;
    tokens_ = absorbed ? op.batch * op.q_len : op.q_len;
    blocks_ = ceil_div(tokens_, kHeadTokens);
    program_.name = fmt::format("mla_rope_append_{}_{}{}", name(op.activation), name(op.kv), absorbed ? "_decode" : "");
    program_.threads_per_cta = kThreads;
    program_.registers_per_thread = 40;
  }

  TileProgram build() {
    const std::uint64_t positional = bytes_of(op_.activation, kPositional);
    const std::uint64_t source_head = absorbed_ ? positional : bytes_of(op_.activation, op_.head_dim);
    q_ = add("q_pe", op_.heads * source_head, positional, source_head - positional, false);
    latent_ = add("latent", bytes_of(op_.activation, kLatent + kPositional), 0, 0, false);
    cache_ = add("cache", bytes_of(op_.kv, kLatent + kPositional), 0, 0, true);
    angles_ = add_angles();
    const std::uint64_t out_head = bytes_of(absorbed_ ? op_.kv : op_.activation, op_.head_dim);
    const std::uint64_t out = bytes_of(absorbed_ ? op_.kv : op_.activation, kPositional);
    q_out_ = add("q", op_.heads * out_head, out, out_head - out, true);
    if (!absorbed_) k_out_ = add("k", op_.heads * source_head, positional, source_head - positional, true);
    add_heads(source_head, out_head);
    add_latents();
    if (absorbed_ && op_.kv != op_.activation) add_quantised_queries();
    return std::move(program_);
  }

 private:
  // `used` bytes at `first` of each row; 0: the whole row.
  MatrixView add(const char* name, std::uint64_t pitch, std::uint64_t used, std::uint64_t first, bool written) {
    MatrixView view{
        static_cast<std::uint32_t>(program_.tensors.size()), tokens_, used == 0 ? pitch : used, pitch, {}, first};
    if (sequences_ > 1) view.outer[0] = {Var::cta3, stride(tokens_ * pitch)};
    program_.tensors.push_back({name, Bytes(sequences_ * tokens_ * pitch), Residency::warm, written});
    return view;
  }
  // Cosine and sine in single precision of every pair; the steps of a batch stand at one position.
  MatrixView add_angles() {
    const std::uint64_t row = 4 * kPositional, rows = absorbed_ ? 1 : tokens_;
    MatrixView view{static_cast<std::uint32_t>(program_.tensors.size()), rows, row, row, {}, 0};
    program_.tensors.push_back({"cos_sin", Bytes(rows * row), Residency::warm, false});
    return view;
  }
  void add_class(const char* name, std::vector<Op> ops, std::uint64_t blocks, std::uint64_t heads) {
    CtaGroup group;
    group.cta_class = class_index(program_.classes.size());
    group.extent = {extent(blocks), extent(heads), 1, extent(sequences_)};
    program_.groups.push_back(group);
    program_.classes.push_back({name, {Role{"threads", kWarps, std::move(ops)}}, {}});
  }
  static Box head_box(MatrixView view, std::uint64_t head_bytes) {
    view.outer[1] = {Var::cta1, stride(head_bytes)};
    Box box = tile_box(view, Var::cta0, kHeadTokens);
    return box;
  }
  // Every head turns Q and, in a prefill, K once more, which it keeps for itself.
  void add_heads(std::uint64_t source_head, std::uint64_t out_head) {
    const std::uint64_t values = kHeadTokens * kPositional * (absorbed_ ? 1 : 2);
    MatrixView key = latent_;
    key.first_column_byte = bytes_of(op_.activation, kLatent);
    key.row_bytes = bytes_of(op_.activation, kPositional);
    Box angles = tile_box(angles_, absorbed_ ? Var::none : Var::cta0, absorbed_ ? 1 : kHeadTokens);
    std::vector<Op> ops;
    append(ops, GlobalLoad{angles}, GlobalLoad{head_box(q_, source_head)});
    if (!absorbed_) append(ops, GlobalLoad{tile_box(key, Var::cta0, kHeadTokens)});
    append(ops, WaitLoads{}, lane_work(2 * values, 2 * values, 0, 50), GlobalStore{head_box(q_out_, out_head)});
    if (!absorbed_) append(ops, GlobalStore{head_box(k_out_, source_head)});
    add_class("heads", std::move(ops), blocks_, op_.heads);
  }
  // Latent and rotated key into the cache: in the libraries the key by a CTA of its own; here with its latent.
  void add_latents() {
    std::vector<Op> ops;
    append(ops, GlobalLoad{tile_box(latent_, Var::cta0, kLatentTokens)}, WaitLoads{},
           lane_work(2 * kLatentTokens * kPositional, kLatentTokens * (kLatent + kPositional), 0, 50),
           GlobalStore{tile_box(cache_, Var::cta0, kLatentTokens)});
    add_class("latents", std::move(ops), blocks_ * kLatentCtas, 1);
  }
  void add_quantised_queries() {
    const std::uint64_t from = bytes_of(op_.activation, op_.head_dim), used = bytes_of(op_.activation, kLatent);
    MatrixView in = add("q_latent", op_.heads * from, used, 0, false), out = q_out_;
    in.outer[1] = {Var::cta1, stride(from)};
    out.first_column_byte = 0;
    out.row_bytes = bytes_of(op_.kv, kLatent);
    out.outer[1] = {Var::cta1, stride(bytes_of(op_.kv, op_.head_dim))};
    std::vector<Op> ops;
    const std::uint64_t values = kLatentTokens * kLatent;
    append(ops, GlobalLoad{tile_box(in, Var::cta0, kLatentTokens)}, WaitLoads{}, lane_work(2 * values, values, 0, 50),
           GlobalStore{tile_box(out, Var::cta0, kLatentTokens)});
    add_class("queries", std::move(ops), blocks_ * kLatentCtas, op_.heads);
  }

  const models::Attention& op_;
  bool absorbed_;
  std::uint64_t sequences_, tokens_, blocks_;
  TileProgram program_;
  MatrixView q_, latent_, cache_, angles_, q_out_, k_out_;
};

// One CTA per token and `columns` values.
TileProgram append_by_token(const models::Attention& op, std::uint64_t columns, std::uint32_t warps) {
  const std::uint64_t width = op.values_in_keys ? op.head_dim : kLatent + kPositional;
  const std::uint64_t tokens = op.batch * op.q_len;
  const std::uint64_t in = bytes_of(op.activation, width), out = bytes_of(op.kv, width);
  TileProgram program;
  program.name = fmt::format("append_latent_{}_{}", name(op.activation), name(op.kv));
  program.tensors = {{"slots", Bytes(8 * tokens), Residency::warm, false},
                     {"latent", Bytes(tokens * in), Residency::warm, false},
                     {"cache", Bytes(tokens * out), Residency::warm, true}};
  program.threads_per_cta = 32 * warps;
  program.registers_per_thread = 32;
  const auto row = [&](std::uint32_t tensor, std::uint64_t bytes, NumberFormat format) {
    return tile_box({tensor, tokens, bytes, bytes, {}, 0}, Var::cta0, 1, Var::cta1, bytes_of(format, columns));
  };
  Role role{"threads", warps, {}};
  append(role.ops, GlobalLoad{tile_box({0, tokens, 8, 8, {}, 0}, Var::cta0, 1)}, WaitLoads{}, GlobalLoad{[&] {
           Box box = row(1, in, op.activation);
           box.row_bytes = std::min(box.row_bytes, in);
           return box;
         }()},
         WaitLoads{}, lane_work(op.kv == op.activation ? 0 : 4 * columns, 4 * columns, 0, 100));
  Box store = row(2, out, op.kv);
  store.row_bytes = std::min(store.row_bytes, out);
  append(role.ops, GlobalStore{store});
  program.classes = {{"token", {role}, {}}};
  CtaGroup group;
  group.extent[0] = extent(tokens);
  group.extent[1] = extent(ceil_div(width, columns));
  program.groups = {group};
  return program;
}

}  // namespace

TileProgram append_latent_program(const models::Attention& op, KernelLibrary library) {
  // Compiled for these sizes alone (DeepSeek-V2 and V3).
  const bool fits =
      op.values_in_keys ? op.value_dim == kLatent && op.head_dim == kLatent + kPositional : op.head_dim > kPositional;
  if (!fits) {
    throw ConfigError(fmt::format("attention: latents of {} + {} values are appended to the cache, not {} + {}",
                                  kLatent, kPositional, op.v_dim(), op.head_dim - std::min(op.head_dim, op.v_dim())));
  }
  if (library == KernelLibrary::tensorrt_llm) return Rotation(op, op.values_in_keys).build();
  constexpr std::uint64_t kTritonColumns = 128, kWholeRow = 576;
  return library == KernelLibrary::sglang ? append_by_token(op, kTritonColumns, 4) : append_by_token(op, kWholeRow, 16);
}

TileProgram convert_program(std::uint64_t elements, NumberFormat from, NumberFormat to) {
  // Estimated from the sources, per element. Decoding 8 bits: shifts, count of leading zeros, masks. Two switches over
  // types (bound, table, jump), two 64-bit addresses from index and size, the test for the end, rounding.
  constexpr std::uint64_t kDecodeOps = 16, kSwitchOps = 8, kAddressOps = 10, kOtherOps = 9;
  constexpr std::uint64_t kThreadElements = 4, kCtaThreads = 128, kCtaElements = kThreadElements * kCtaThreads;
  TileProgram program;
  program.name = fmt::format("convert_{}_{}", name(from), name(to));
  const std::uint64_t in = bytes_of(from, elements), out = bytes_of(to, elements);
  program.tensors = {{"from", Bytes(in), Residency::cold, false}, {"to", Bytes(out), Residency::warm, true}};
  program.threads_per_cta = kCtaThreads;
  program.registers_per_thread = 32;
  const auto part = [&](std::uint32_t tensor, std::uint64_t all, NumberFormat format) {
    return tile_box({tensor, 1, all, all, {}, 0}, Var::none, 1, Var::cta0, bytes_of(format, kCtaElements));
  };
  const std::uint64_t ints = kCtaElements * (kDecodeOps + kSwitchOps + kAddressOps + kOtherOps);
  program.classes = {{"elements",
                      {Role{"threads",
                            kCtaThreads / 32,
                            {GlobalLoad{part(0, in, from)}, WaitLoads{}, lane_work(2 * kCtaElements, ints, 0, 100),
                             GlobalStore{part(1, out, to)}}}},
                      {}}};
  CtaGroup group;
  group.extent[0] = extent(ceil_div(elements, kCtaElements));
  program.groups = {group};
  return program;
}

TileProgram quantize_heads_program(const models::Attention& op) {
  constexpr std::uint64_t kValues = kThreads * 8;  // of a CTA and turn
  const std::uint64_t per_head = 2 * op.head_dim + op.v_dim();
  const std::uint64_t values = checked_product("quantised heads", {op.batch, op.kv_len, op.heads, per_head});
  const std::uint64_t in = bytes_of(op.activation, values), out = bytes_of(op.kv, values);
  const std::uint64_t in_turn = bytes_of(op.activation, kValues), out_turn = bytes_of(op.kv, kValues);
  TileProgram program;
  program.name = fmt::format("quantize_heads_{}_{}", name(op.activation), name(op.kv));
  program.tensors = {{"heads", Bytes(in), Residency::warm, false}, {"quantised", Bytes(out), Residency::warm, true}};
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 40;
  const auto turn = [&](std::uint32_t tensor, std::uint64_t all, std::uint64_t one) {
    Box box = tile_box({tensor, 1, all, all, {}, 0}, Var::none, 1, Var::cta0, one);
    return box;
  };
  program.classes = {{"values",
                      {Role{"threads",
                            kWarps,
                            {GlobalLoad{turn(0, in, in_turn)}, WaitLoads{}, lane_work(2 * kValues, kValues, 0, 50),
                             GlobalStore{turn(1, out, out_turn)}}}},
                      {}}};
  CtaGroup group;
  group.extent[0] = extent(ceil_div(values, kValues));
  program.groups = {group};
  return program;
}

}  // namespace lightcone::scenarios
