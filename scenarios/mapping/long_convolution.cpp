// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/long_convolution.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>

#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/program_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint64_t kComplexBytes = 8;
constexpr std::uint64_t kPointsPerThread = 16;  // a butterfly of 16 in registers: four levels between exchanges
constexpr std::uint64_t kStageChain = 120;      // cycles of its additions and of the exchange

std::uint64_t levels(std::uint64_t size) { return static_cast<std::uint64_t>(std::bit_width(size) - 1); }

// A transform of `size` reals as one of size / 2 complex points.
struct Transform {
  std::uint64_t size;
  [[nodiscard]] std::uint64_t points() const { return size / 2; }
  [[nodiscard]] std::uint64_t flops() const { return 5 * size * levels(size) / 2; }
  [[nodiscard]] std::uint64_t spectrum_bytes() const { return (size / 2 + 1) * kComplexBytes; }
  [[nodiscard]] std::uint64_t stages() const { return std::max<std::uint64_t>(1, ceil_div(levels(points()), 4)); }
  [[nodiscard]] std::uint64_t threads() const {
    return std::clamp<std::uint64_t>(round_up(ceil_div(points(), kPointsPerThread), 32), 32, 1024);
  }
};

// `part` of 1 / parts of the transform, in a CTA: of each stage the butterflies, and the exchange through shared
// memory. Three lane operations do four FLOPs: additions by themselves, twiddle products as pairs.
std::vector<Op> butterflies(const Transform& t, std::uint64_t parts, std::uint64_t flops) {
  const std::uint64_t stages = ceil_div(t.stages(), parts), points = t.points();
  const std::uint64_t exchanged = points * kComplexBytes;
  std::vector<Op> ops;
  for (std::uint64_t s = 0; s < stages; ++s) {
    append(ops, lane_work(t.flops() * 3 / 4 / parts / stages, 2 * points, 0, kStageChain, s == 0 ? flops : 0),
           SharedAccess{exchanged, exchanged}, CtaBarrier{0});
  }
  return ops;
}

std::uint32_t warps_of(const Transform& t) { return static_cast<std::uint32_t>(t.threads() / 32); }

// Row cta0 of a matrix with a row per channel (or per sequence and channel).
Box line(std::uint32_t tensor, std::uint64_t lines, std::uint64_t bytes, Var var = Var::cta0) {
  return tile_box({tensor, lines, bytes, bytes, {}, 0}, var, 1);
}

bool fits(const Transform& t, const GpuSpec& gpu) {
  return t.points() * kComplexBytes <= gpu.sm.shared_memory_per_cta.count();
}

// ---- In shared memory ----------------------------------------------------------------------------------------------

TileProgram filter_transform(const models::FftConv& op, const Transform& t) {
  const std::uint64_t taps = 4 * std::min(op.taps, op.tokens);
  std::vector<Op> ops;
  append(ops, lane_work(0, 20 * t.threads(), 0, 60), GlobalLoad{line(0, op.channels, taps)}, WaitLoads{},
         butterflies(t, 1, t.flops()), GlobalStore{line(1, op.channels, t.spectrum_bytes()), CopyPath::lsu});
  return one_role(fmt::format("fft_filter_{}", t.size), {warps_of(t), 64, t.points() * kComplexBytes},
                  {{"filters", Bytes(op.channels * taps), Residency::warm, false},
                   {"spectra", Bytes(op.channels * t.spectrum_bytes()), Residency::warm, true}},
                  std::move(ops), {op.channels, 1, 1, 1});
}

TileProgram convolution(const models::FftConv& op, const Transform& t) {
  const std::uint64_t row = storage(op.format, op.tokens).count();
  const auto values = [&](std::uint32_t tensor) {
    MatrixView view{tensor, op.channels, row, row, {}, 0};
    view.outer[0] = {Var::cta1, stride(op.channels * row)};
    return tile_box(view, Var::cta0, 1);
  };
  std::vector<Op> ops;
  append(ops, lane_work(0, 20 * t.threads(), 0, 60), GlobalLoad{values(0)}, GlobalLoad{line(2, op.channels, 4)},
         WaitLoads{}, lane_work(op.tokens, 0, 0, 20), butterflies(t, 1, t.flops()),
         GlobalLoad{line(1, op.channels, t.spectrum_bytes())}, WaitLoads{},
         lane_work(4 * (t.size / 2 + 1), 0, 0, 40, 6 * (t.size / 2 + 1)), butterflies(t, 1, t.flops()),
         lane_work(2 * op.tokens, 0, 0, 20, 2 * op.tokens), GlobalStore{values(3), CopyPath::lsu});
  const Bytes all(op.batch * op.channels * row);
  return one_role(fmt::format("fft_conv_{}_{}", t.size, name(op.format)), {warps_of(t), 64, t.points() * kComplexBytes},
                  {{"u", all, Residency::warm, false},
                   {"spectra", Bytes(op.channels * t.spectrum_bytes()), Residency::warm, false},
                   {"D", Bytes(4 * op.channels), Residency::cold, false},
                   {"y", all, Residency::warm, true}},
                  std::move(ops), {op.channels, op.batch, 1, 1});
}

// ---- Through memory ------------------------------------------------------------------------------------------------

// One of the two passes of a transform of `lines` lines: columns, then rows, of a matrix of its points; a CTA takes as
// many of them as fit. `in` and `out` are the bytes of a line, spectra in between.
struct Pass {
  std::uint64_t lines = 0, in = 0, out = 0;
  std::uint64_t flops = 0;  // of a line
  bool second = false;
};

TileProgram transform_pass(const std::string& name, const Transform& t, const Pass& pass) {
  constexpr std::uint64_t kPoints = 4096;  // of a CTA
  const std::uint64_t pieces = std::max<std::uint64_t>(1, t.points() / kPoints), threads = 256;
  const auto piece = [&](std::uint32_t tensor, std::uint64_t bytes) {
    return tile_box({tensor, pass.lines, bytes, bytes, {}, 0}, Var::cta1, 1, Var::cta0, ceil_div(bytes, pieces));
  };
  const std::uint64_t stages = ceil_div(t.stages(), 2), exchanged = kPoints * kComplexBytes;
  const auto body = [&](std::uint64_t flops) {
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * threads, 0, 60), GlobalLoad{piece(0, pass.in)}, WaitLoads{});
    for (std::uint64_t s = 0; s < stages; ++s) {
      append(ops, lane_work(pass.flops * 3 / 4 / pieces / stages, 2 * kPoints, 0, kStageChain, s == 0 ? flops : 0),
             SharedAccess{exchanged, exchanged}, CtaBarrier{0});
    }
    GlobalStore store{piece(1, pass.out), CopyPath::lsu};
    if (!pass.second) store.segment_bytes = 64;  // columns: eight points side by side
    append(ops, store);
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("{}_{}", name, t.size);
  program.tensors = {{"in", Bytes(pass.lines * pass.in), Residency::warm, false},
                     {"out", Bytes(pass.lines * pass.out), Residency::warm, true}};
  program.threads_per_cta = static_cast<std::uint32_t>(threads);
  program.registers_per_thread = 64;
  program.shared_memory_per_cta = Bytes(exchanged);
  // The first piece of a line has what whole numbers leave over.
  program.classes.push_back({"first", {Role{"threads", 8, body(pass.flops / pieces + pass.flops % pieces)}}, {}});
  add_group(program, 0, {1, pass.lines, 1, 1});
  if (pieces > 1) {
    program.classes.push_back({"piece", {Role{"threads", 8, body(pass.flops / pieces)}}, {}});
    add_group(program, 1, {pieces - 1, pass.lines, 1, 1}, {1, 0, 0, 0});
  }
  return program;
}

TileProgram multiply_spectra(const models::FftConv& op, const Transform& t) {
  const std::uint64_t row = t.spectrum_bytes(), threads = 256;
  std::vector<Op> ops;
  MatrixView view{0, op.channels, row, row, {}, 0};
  view.outer[0] = {Var::cta1, stride(op.channels * row)};
  const Box values = tile_box(view, Var::cta0, 1);
  append(ops, GlobalLoad{values}, GlobalLoad{line(1, op.channels, row)}, WaitLoads{},
         lane_work(4 * (t.size / 2 + 1), t.size / 2, 0, 40, 6 * (t.size / 2 + 1)), GlobalStore{values, CopyPath::lsu});
  return one_role("spectra_multiply", {threads / 32, 32, 0},
                  {{"values", Bytes(op.batch * op.channels * row), Residency::warm, true},
                   {"filters", Bytes(op.channels * row), Residency::warm, false}},
                  std::move(ops), {op.channels, op.batch, 1, 1});
}

// D u added, from fp32 to the format of the stream.
TileProgram add_skip(const models::FftConv& op) {
  const std::uint64_t row = storage(op.format, op.tokens).count(), wide = 4 * op.tokens;
  const auto values = [&](std::uint32_t tensor, std::uint64_t bytes) {
    MatrixView view{tensor, op.channels, bytes, bytes, {}, 0};
    view.outer[0] = {Var::cta1, stride(op.channels * bytes)};
    return tile_box(view, Var::cta0, 1);
  };
  std::vector<Op> ops;
  append(ops, GlobalLoad{values(0, row)}, GlobalLoad{values(1, wide)}, GlobalLoad{line(2, op.channels, 4)}, WaitLoads{},
         lane_work(3 * op.tokens, op.tokens / 4, 0, 40, 2 * op.tokens), GlobalStore{values(3, row), CopyPath::lsu});
  const std::uint64_t lines = op.batch * op.channels;
  return one_role(fmt::format("add_skip_{}", name(op.format)), {8, 32, 0},
                  {{"u", Bytes(lines * row), Residency::warm, false},
                   {"convolved", Bytes(lines * wide), Residency::warm, false},
                   {"D", Bytes(4 * op.channels), Residency::cold, false},
                   {"y", Bytes(lines * row), Residency::warm, true}},
                  std::move(ops), {op.channels, op.batch, 1, 1});
}

void add_transform(std::vector<TileProgram>& programs, const std::string& name, const Transform& t, std::uint64_t lines,
                   std::uint64_t in, std::uint64_t out) {
  const std::uint64_t half = t.flops() / 2;
  programs.push_back(transform_pass(name + "_columns", t, {lines, in, t.spectrum_bytes(), half, false}));
  programs.push_back(transform_pass(name + "_rows", t, {lines, t.spectrum_bytes(), out, t.flops() - half, true}));
}

}  // namespace

std::vector<TileProgram> fft_conv_programs(const models::FftConv& op, const GpuSpec& gpu) {
  (void)models::cost(models::Operator(op));  // sizes are sound
  const Transform t{op.fft_size()};
  if (fits(t, gpu)) return {filter_transform(op, t), convolution(op, t)};
  const std::uint64_t lines = op.batch * op.channels;
  std::vector<TileProgram> programs;
  add_transform(programs, "fft_filter", t, op.channels, 4 * std::min(op.taps, op.tokens), t.spectrum_bytes());
  add_transform(programs, "fft_there", t, lines, storage(op.format, op.tokens).count(), t.spectrum_bytes());
  programs.push_back(multiply_spectra(op, t));
  add_transform(programs, "fft_back", t, lines, t.spectrum_bytes(), 4 * op.tokens);
  programs.push_back(add_skip(op));
  return programs;
}

std::vector<TileProgram> state_filter_programs(const models::StateFilter& op, const GpuSpec& gpu) {
  (void)models::cost(models::Operator(op));
  constexpr std::uint64_t kThreads = 256;
  const std::uint64_t size = std::bit_ceil(std::max<std::uint64_t>(2, op.taps));
  const std::uint64_t results = op.cauchy ? size / 2 + 1 : op.taps;  // frequencies or taps of a channel
  const std::uint64_t bytes = op.cauchy ? kComplexBytes : storage(op.format, 1).count();
  const std::uint64_t weights = (op.cauchy ? 8 : 6) * 4 * op.states;
  const auto body = [&](std::uint64_t useful) {
    const std::uint64_t terms = kThreads * op.states;
    std::vector<Op> ops;
    append(ops, lane_work(0, 20 * kThreads, 0, 60), GlobalLoad{line(0, op.channels, weights, Var::cta1)},
           GlobalLoad{line(1, op.channels, 4, Var::cta1)}, WaitLoads{}, SharedAccess{weights * kThreads / 32, weights});
    if (op.cauchy) {
      append(ops, lane_work(22 * terms + 40 * kThreads, terms / 4, terms + kThreads, 30 * op.states,
                            useful * (38 * op.states + 32)));
    } else {
      append(ops, lane_work(7 * terms, terms / 4, 3 * terms, 20 * op.states, useful * 8 * op.states));
    }
    append(ops, GlobalStore{tile_box({2, op.channels, results * bytes, results * bytes, {}, 0}, Var::cta1, 1, Var::cta0,
                                     kThreads * bytes),
                            CopyPath::lsu});
    return ops;
  };
  TileProgram program;
  program.name = fmt::format("state_filter_{}_{}", op.cauchy ? "cauchy" : "vandermonde", op.states);
  program.tensors = {{"poles", Bytes(op.channels * weights), Residency::cold, false},
                     {"steps", Bytes(op.channels * 4), Residency::cold, false},
                     {"results", Bytes(op.channels * results * bytes), Residency::warm, true}};
  program.threads_per_cta = kThreads;
  program.registers_per_thread = 48;
  program.shared_memory_per_cta = Bytes(weights);
  if (program.shared_memory_per_cta > gpu.sm.shared_memory_per_cta) {
    throw ConfigError(fmt::format("state_filter: the parameters of {} states do not fit shared memory", op.states));
  }
  const auto add = [&](std::uint64_t first, std::uint64_t count, std::uint64_t useful) {
    if (count == 0) return;
    add_class(program, {"results", {Role{"threads", kThreads / 32, body(useful)}}, {}}, {count, op.channels, 1, 1},
              {static_cast<std::int64_t>(first), 0, 0, 0});
  };
  add(0, results / kThreads, kThreads);
  add(results / kThreads, results % kThreads > 0 ? 1 : 0, results % kThreads);
  if (!op.cauchy) return {program};
  std::vector<TileProgram> programs{program};
  const Transform t{size};
  const std::uint64_t row = storage(op.format, op.taps).count();
  if (!fits(t, gpu)) {
    add_transform(programs, "filter_back", t, op.channels, t.spectrum_bytes(), row);
    return programs;
  }
  std::vector<Op> ops;
  append(ops, GlobalLoad{line(0, op.channels, t.spectrum_bytes())}, WaitLoads{}, butterflies(t, 1, t.flops()),
         GlobalStore{line(1, op.channels, row), CopyPath::lsu});
  programs.push_back(one_role(fmt::format("filter_back_{}", size), {warps_of(t), 64, t.points() * kComplexBytes},
                              {{"spectra", Bytes(op.channels * t.spectrum_bytes()), Residency::warm, false},
                               {"filters", Bytes(op.channels * row), Residency::warm, true}},
                              std::move(ops), {op.channels, 1, 1, 1}));
  return programs;
}

}  // namespace lightcone::scenarios
