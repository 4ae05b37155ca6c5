// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

#include "catch.h"
#include "hardware/machine/evaluate.h"
#include "hardware/program/sums.h"
#include "hardware/program/tile_program.h"

using namespace lightcone;
using namespace lightcone::hardware;

namespace {

std::uint64_t pick(std::mt19937& random, std::uint64_t low, std::uint64_t high) {
  return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
}

// Visits every combination of variable values.
void for_all(const VarRanges& ranges, const std::function<void(const VarValues&)>& visit, std::size_t var = 1,
             VarValues values = {}) {
  if (var == kVarCount) return visit(values);
  for (std::int64_t i = 0; i < ranges[var].count; ++i) {
    values[var] = ranges[var].first + i;
    for_all(ranges, visit, var + 1, values);
  }
}

// Pairs counted one by one, straight from the definition in the header.
std::uint64_t pairs_by_hand(const Mma& mma, const VarValues& values) {
  const UsefulPart& u = mma.useful;
  const auto at = [&](Var var) { return static_cast<std::uint64_t>(values[static_cast<std::size_t>(var)]); };
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < mma.m; ++i) {
    for (std::uint64_t j = 0; j < mma.n; ++j) {
      for (std::uint64_t l = 0; l < mma.k; ++l) {
        const std::uint64_t row = at(u.m_var) * u.m_step + u.m_first + i;
        const std::uint64_t column = at(u.n_var) * u.n_step + u.n_first + j;
        const std::uint64_t depth = at(u.k_var) * u.k_step + l;
        if (row >= u.m_extent || column >= u.n_extent || depth >= u.k_extent) continue;
        const auto key = static_cast<std::int64_t>(u.columns_are_k ? depth : column);
        const std::int64_t limit = static_cast<std::int64_t>(row / u.row_divisor) + u.diagonal;
        if (u.mask == MaskKind::causal && key > limit) continue;
        if (u.mask == MaskKind::causal && u.window > 0 && key <= limit - static_cast<std::int64_t>(u.window)) continue;
        ++kept;
      }
    }
  }
  return kept;
}

// C[m,n] = A x B with one load pipe: producer, consumer, store.
TileProgram small_gemm(std::uint64_t m, std::uint64_t n, std::uint64_t k, std::uint32_t tile) {
  const auto tiles = [&](std::uint64_t size) { return static_cast<std::uint32_t>((size + tile - 1) / tile); };
  TileProgram program;
  program.name = "gemm";
  program.tensors = {{"a", Bytes(2 * m * k)}, {"b", Bytes(2 * n * k)}, {"c", Bytes(2 * m * n), Residency::warm, true}};
  const Box a{0, Var::cta0, tile, m, 2 * k, Var::loop0, 2 * tile, 2 * k, 0, 0, {}};
  const Box b{1, Var::cta1, tile, n, 2 * k, Var::loop0, 2 * tile, 2 * k, 0, 0, {}};
  const Box c{2, Var::cta0, tile, m, 2 * n, Var::cta1, 2 * tile, 2 * n, 0, 0, {}};
  Mma mma{tile, tile, tile};
  mma.useful.m_var = Var::cta0;
  mma.useful.n_var = Var::cta1;
  mma.useful.k_var = Var::loop0;
  mma.useful.m_step = mma.useful.n_step = mma.useful.k_step = tile;
  mma.useful.m_extent = m;
  mma.useful.n_extent = n;
  mma.useful.k_extent = k;
  CtaClass cta;
  cta.name = "tile";
  cta.pipes = {{"ab", 3, 1}};
  cta.roles = {
      {"producer", 1, {LoopBegin{0}, AcquireStage{0}, LoadTile{0, a}, LoadTile{0, b}, CommitStage{0}, LoopEnd{}}},
      {"consumer",
       3,
       {LoopBegin{0}, WaitStage{0}, mma, MmaWait{0}, ReleaseStage{0}, LoopEnd{}, VectorWork{10, 20, 0, 5, 0},
        GlobalStore{c}}}};
  program.classes = {cta};
  CtaGroup group;
  group.extent = {tiles(m), tiles(n), 1, 1};
  group.loops[0] = {0, tiles(k)};
  program.groups = {group};
  return program;
}

// An attention-shaped matrix product on random sizes.
Mma random_mma(std::mt19937& random) {
  Mma mma{static_cast<std::uint32_t>(pick(random, 1, 9)), static_cast<std::uint32_t>(pick(random, 1, 9)),
          static_cast<std::uint32_t>(pick(random, 1, 5))};
  UsefulPart& u = mma.useful;
  u.columns_are_k = pick(random, 0, 1) == 1;
  u.m_var = Var::cta0;
  (u.columns_are_k ? u.k_var : u.n_var) = Var::loop0;
  if (pick(random, 0, 3) == 0) (u.columns_are_k ? u.n_var : u.k_var) = Var::loop1;
  // Usually side by side, sometimes overlapping or with gaps.
  const auto step = [&](std::uint32_t size) { return pick(random, 0, 2) == 0 ? pick(random, 1, 9) : size; };
  u.m_step = step(mma.m);
  u.n_step = step(mma.n);
  u.k_step = step(mma.k);
  u.m_first = pick(random, 0, 3);
  u.n_first = u.columns_are_k ? pick(random, 0, 3) : 0;
  u.m_extent = pick(random, 1, 40);
  u.n_extent = pick(random, 1, 40);
  u.k_extent = pick(random, 1, 40);
  u.mask = pick(random, 0, 2) == 0 ? MaskKind::none : MaskKind::causal;
  u.diagonal = static_cast<std::int64_t>(pick(random, 0, 30)) - 10;
  u.window = pick(random, 0, 1) == 0 ? 0 : pick(random, 1, 12);
  u.row_divisor = static_cast<std::uint32_t>(pick(random, 1, 4));
  return mma;
}

VarRanges random_ranges(std::mt19937& random) {
  VarRanges ranges;
  ranges.fill({0, 1});
  for (std::size_t var = 1; var < kVarCount; ++var) {
    ranges[var] = {static_cast<std::int64_t>(pick(random, 0, 3)), static_cast<std::int64_t>(pick(random, 1, 4))};
  }
  return ranges;
}

}  // namespace

TEST_CASE("coordinates visit every CTA once, whatever the band") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    CtaGroup group;
    for (auto& extent : group.extent) extent = static_cast<std::uint32_t>(pick(random, 1, 7));
    group.origin = {3, 0, 5, 1};
    group.band = static_cast<std::uint32_t>(pick(random, 0, 8));
    std::set<std::array<std::int64_t, 4>> seen;
    for (std::uint64_t i = 0; i < group.count(); ++i) {
      const auto c = coordinates(group, i);
      for (std::size_t d = 0; d < 4; ++d) {
        REQUIRE(c[d] >= group.origin[d]);
        REQUIRE(c[d] < group.origin[d] + group.extent[d]);
      }
      seen.insert(c);
    }
    REQUIRE(seen.size() == group.count());
  }
}

TEST_CASE("a band runs down cta1 before the next band starts; the last band may be narrower") {
  CtaGroup group;
  group.extent = {5, 2, 1, 1};
  group.band = 2;
  const std::vector<std::array<std::int64_t, 2>> expected{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0},
                                                          {3, 0}, {2, 1}, {3, 1}, {4, 0}, {4, 1}};
  for (std::uint64_t i = 0; i < expected.size(); ++i) {
    const auto c = coordinates(group, i);
    REQUIRE(std::array<std::int64_t, 2>{c[0], c[1]} == expected[i]);
  }
}

TEST_CASE("a clipped box holds exactly the bytes inside the matrix") {
  std::mt19937 random(2);
  for (int trial = 0; trial < 500; ++trial) {
    Box box;
    box.row_var = Var::cta0;
    box.column_var = pick(random, 0, 4) == 0 ? Var::cta0 : Var::loop0;
    box.rows = static_cast<std::uint32_t>(pick(random, 1, 5));
    box.row_bytes = pick(random, 1, 5);
    box.row_extent = pick(random, 1, 20);
    box.column_extent_bytes = pick(random, 1, 20);
    box.row_pitch_bytes = box.column_extent_bytes + pick(random, 0, 3);
    box.first_row = pick(random, 0, 4);
    box.first_column_byte = pick(random, 0, 4);
    box.row_step = pick(random, 0, 1) * pick(random, 1, 9);
    box.column_step_bytes = pick(random, 0, 1) * pick(random, 1, 9);
    box.outer[0] = {Var::cta2, 1000};
    const VarRanges ranges = random_ranges(random);
    std::uint64_t sum = 0;
    for_all(ranges, [&](const VarValues& values) {
      const ClippedBox clipped = clip(box, values);
      sum += clipped.rows * clipped.row_bytes;
      if (clipped.rows == 0) return;
      const std::uint64_t inside = clipped.offset - 1000 * static_cast<std::uint64_t>(values[3]);
      REQUIRE(inside / box.row_pitch_bytes + clipped.rows <= box.row_extent);
      REQUIRE(inside % box.row_pitch_bytes + clipped.row_bytes <= box.column_extent_bytes);
    });
    REQUIRE(total_bytes(box, ranges) == sum);
  }
}

TEST_CASE("a role's share of a tile moves by the tile, not by the share") {
  Box box{0, Var::cta0, 64, 300, 10, Var::none, 10, 10, 64, 0, {}};  // rows 64..127 of tiles of 128 rows
  box.row_step = 128;
  REQUIRE(clip(box, {0, 1}).offset == (128 + 64) * 10);
  REQUIRE(clip(box, {0, 1}).rows == 64);
  REQUIRE(clip(box, {0, 2}).rows == 0);  // rows 320..383 of 300
}

TEST_CASE("useful FLOPs equal a count pair by pair, masked, packed and clipped") {
  std::mt19937 random(3);
  for (int trial = 0; trial < 2000; ++trial) {
    const Mma mma = random_mma(random);
    const VarRanges ranges = random_ranges(random);
    std::uint64_t by_hand = 0;
    VarRanges few = ranges;
    few[static_cast<std::size_t>(Var::cta1)] = few[static_cast<std::size_t>(Var::cta2)] = {0, 1};
    for_all(few, [&](const VarValues& values) {
      const std::uint64_t pairs = pairs_by_hand(mma, values);
      REQUIRE(useful_flops(mma, values).count() == 2 * pairs);
      by_hand += 2 * pairs;
    });
    REQUIRE(total_useful_flops(mma, few) == by_hand);
  }
}

TEST_CASE("two dimensions moved by one variable are still counted exactly") {
  std::mt19937 random(4);
  for (int trial = 0; trial < 100; ++trial) {
    Mma mma = random_mma(random);
    mma.useful.n_var = mma.useful.m_var = Var::cta0;
    VarRanges ranges;
    ranges.fill({0, 1});
    ranges[static_cast<std::size_t>(Var::cta0)] = {1, 4};
    ranges[static_cast<std::size_t>(Var::loop0)] = {0, 3};
    std::uint64_t by_hand = 0;
    for_all(ranges, [&](const VarValues& values) { by_hand += 2 * pairs_by_hand(mma, values); });
    REQUIRE(total_useful_flops(mma, ranges) == by_hand);
  }
}

TEST_CASE("totals of a GEMM equal the operator's formula for any size") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 100; ++trial) {
    const std::uint64_t m = pick(random, 1, 70), n = pick(random, 1, 70), k = pick(random, 1, 70);
    const TileProgram program = small_gemm(m, n, k, 16);
    REQUIRE_NOTHROW(check(program));
    const ProgramTotals sum = totals(program);
    const std::uint64_t mt = (m + 15) / 16, nt = (n + 15) / 16, kt = (k + 15) / 16;
    REQUIRE(sum.mma_useful.count() == 2 * m * n * k);
    REQUIRE(sum.mma_executed.count() == 2 * mt * nt * kt * 16 * 16 * 16);
    REQUIRE(sum.loaded.count() == 2 * (m * k * nt + n * k * mt));
    REQUIRE(sum.stored.count() == 2 * m * n);
    REQUIRE(sum.vector_flops.count() == 20 * mt * nt);
    REQUIRE(sum.sfu_ops == 5 * mt * nt);
  }
}

TEST_CASE("a loop that runs zero times does nothing") {
  TileProgram program = small_gemm(32, 32, 32, 16);
  program.groups[0].loops[0].count = 0;
  REQUIRE_NOTHROW(check(program));
  REQUIRE(totals(program).loaded.count() == 0);
  REQUIRE(totals(program).stored.count() == 2 * 32 * 32);
}

TEST_CASE("a loop counter holds its first value before the loop and one past the last after it") {
  TileProgram program = small_gemm(32, 32, 64, 16);
  program.groups[0].loops[0] = {1, 2};  // k tiles 1 and 2 in the loop, 1 before it, 3 after it
  auto& ops = program.classes[0].roles[1].ops;
  Mma mma = std::get<Mma>(ops[2]);
  mma.useful.k_extent = 56;  // tile 3 has 8 of 16
  ops[2] = mma;
  REQUIRE(totals(program).mma_useful.count() == 2 * 32 * 32 * 32);
  ops.insert(ops.begin(), mma);
  REQUIRE(totals(program).mma_useful.count() == 2 * 32 * 32 * 48);
  ops.push_back(mma);
  REQUIRE(totals(program).mma_useful.count() == 2 * 32 * 32 * 56);
}

TEST_CASE("every field changes the content hash; labels do not") {
  const TileProgram base = small_gemm(64, 64, 64, 16);
  const auto consumer_mma = [](TileProgram& p) -> Mma& { return std::get<Mma>(p.classes[0].roles[1].ops[2]); };
  const auto first_load = [](TileProgram& p) -> LoadTile& { return std::get<LoadTile>(p.classes[0].roles[0].ops[2]); };
  const std::map<std::string, std::function<void(TileProgram&)>> changes{
      {"name", [](auto& p) { p.name += "x"; }},
      {"threads", [](auto& p) { p.threads_per_cta = 256; }},
      {"registers", [](auto& p) { p.registers_per_thread = 64; }},
      {"shared", [](auto& p) { p.shared_memory_per_cta = 1_KiB; }},
      {"cluster", [](auto& p) { p.cluster_size = 2; }},
      {"persistent", [](auto& p) { p.persistent = true; }},
      {"tensor bytes", [](auto& p) { p.tensors[0].bytes += 1_B; }},
      {"tensor residency", [](auto& p) { p.tensors[0].residency = Residency::warm; }},
      {"tensor written", [](auto& p) { p.tensors[0].written = true; }},
      {"stages", [](auto& p) { p.classes[0].pipes[0].stages = 4; }},
      {"consumers", [](auto& p) { p.classes[0].pipes[0].consumers = 2; }},
      {"warps", [](auto& p) { p.classes[0].roles[1].warps = 4; }},
      {"op kind", [](auto& p) { p.classes[0].roles[1].ops[3] = WaitLoads{}; }},
      {"op removed", [](auto& p) { p.classes[0].roles[1].ops.pop_back(); }},
      {"mma n", [&](auto& p) { consumer_mma(p).n = 32; }},
      {"mma format", [&](auto& p) { consumer_mma(p).format = NumberFormat::fp16; }},
      {"mma operand", [&](auto& p) { consumer_mma(p).a = OperandSource::registers; }},
      {"mma shared", [&](auto& p) { consumer_mma(p).shared_read_bytes = 1; }},
      {"mask", [&](auto& p) { consumer_mma(p).useful.mask = MaskKind::causal; }},
      {"diagonal", [&](auto& p) { consumer_mma(p).useful.diagonal = 1; }},
      {"window", [&](auto& p) { consumer_mma(p).useful.window = 1; }},
      {"row divisor", [&](auto& p) { consumer_mma(p).useful.row_divisor = 2; }},
      {"columns are k", [&](auto& p) { consumer_mma(p).useful.columns_are_k = true; }},
      {"m extent", [&](auto& p) { consumer_mma(p).useful.m_extent = 63; }},
      {"load path", [&](auto& p) { first_load(p).path = CopyPath::lsu; }},
      {"multicast", [&](auto& p) { first_load(p).multicast = 2; }},
      {"split_over_pair", [&](auto& p) { first_load(p).split_over_pair = true; }},
      {"box rows", [&](auto& p) { first_load(p).box.rows = 8; }},
      {"box extent", [&](auto& p) { first_load(p).box.row_extent = 8; }},
      {"box pitch", [&](auto& p) { first_load(p).box.row_pitch_bytes = 8; }},
      {"box step", [&](auto& p) { first_load(p).box.row_step = 8; }},
      {"box column step", [&](auto& p) { first_load(p).box.column_step_bytes = 8; }},
      {"box outer",
       [&](auto& p) {
         first_load(p).box.outer[2] = {Var::cta1, 8};
       }},
      {"group extent", [](auto& p) { p.groups[0].extent[0] = 1; }},
      {"group origin", [](auto& p) { p.groups[0].origin[2] = 1; }},
      {"band", [](auto& p) { p.groups[0].band = 1; }},
      {"loop count", [](auto& p) { p.groups[0].loops[0].count = 1; }},
      {"loop first", [](auto& p) { p.groups[0].loops[1].first = 1; }},
  };
  std::set<std::string> hashes{content_hash(base)};
  for (const auto& [what, change] : changes) {
    TileProgram changed = base;
    change(changed);
    INFO(what);
    REQUIRE(hashes.insert(content_hash(changed)).second);
  }
  TileProgram relabelled = base;
  relabelled.tensors[0].name = "other";
  relabelled.classes[0].roles[0].name = "other";
  REQUIRE(content_hash(relabelled) == content_hash(base));
}

TEST_CASE("check finds malformed programs") {
  const std::map<std::string, std::function<void(TileProgram&)>> faults{
      {"unknown tensor", [](auto& p) { std::get<LoadTile>(p.classes[0].roles[0].ops[2]).box.tensor = 9; }},
      {"box beyond tensor", [](auto& p) { p.tensors[0].bytes -= 1_B; }},
      {"open loop", [](auto& p) { p.classes[0].roles[0].ops.pop_back(); }},
      {"loop not begun", [](auto& p) { p.classes[0].roles[0].ops.push_back(LoopEnd{}); }},
      {"loop inside itself",
       [](auto& p) { p.classes[0].roles[0].ops.insert(p.classes[0].roles[0].ops.begin(), LoopBegin{0}); }},
      {"missing release", [](auto& p) { p.classes[0].roles[1].ops.erase(p.classes[0].roles[1].ops.begin() + 4); }},
      {"missing acquire", [](auto& p) { p.classes[0].roles[0].ops.erase(p.classes[0].roles[0].ops.begin() + 1); }},
      {"consumers", [](auto& p) { p.classes[0].pipes[0].consumers = 2; }},
      {"unknown pipe", [](auto& p) { p.classes[0].roles[1].ops.push_back(WaitStage{3}); }},
      {"too many warps", [](auto& p) { p.classes[0].roles[1].warps = 40; }},
      {"cluster", [](auto& p) { p.cluster_size = 3; }},
      {"store to read-only", [](auto& p) { p.tensors[2].written = false; }},
      {"no groups", [](auto& p) { p.groups.clear(); }},
      {"unused class", [](auto& p) { p.classes.push_back(p.classes[0]); }},
  };
  for (const auto& [what, fault] : faults) {
    TileProgram program = small_gemm(64, 64, 64, 16);
    fault(program);
    INFO(what);
    REQUIRE_THROWS_AS(check(program), std::logic_error);
  }
}

TEST_CASE("occupancy is limited by the scarcest of threads, registers, shared memory and slots") {
  SmSpec sm;
  sm.shared_memory = 228_KiB;
  sm.shared_memory_per_cta = 227_KiB;
  TileProgram program;
  program.threads_per_cta = 128;
  program.registers_per_thread = 32;
  program.shared_memory_per_cta = 0_B;
  REQUIRE(occupancy(program, sm) == 16);  // 2048 threads
  program.threads_per_cta = 32;
  REQUIRE(occupancy(program, sm) == 32);  // slots
  program.threads_per_cta = 128;
  program.registers_per_thread = 168;
  REQUIRE(occupancy(program, sm) == 3);  // 65536 / (128 * 168) = 3.05
  program.registers_per_thread = 32;
  program.shared_memory_per_cta = 113_KiB;
  REQUIRE(occupancy(program, sm) == 2);  // with 1 KiB reserved each
  program.shared_memory_per_cta = 114_KiB;
  REQUIRE(occupancy(program, sm) == 1);
  program.shared_memory_per_cta = 227_KiB;
  REQUIRE(occupancy(program, sm) == 1);
  program.shared_memory_per_cta = 228_KiB;
  REQUIRE(occupancy(program, sm) == 0);
}

TEST_CASE("a kernel's bounding resource is the largest bound, or latency when none fills half of the time") {
  KernelResult result;
  result.time = Seconds(10e-6);
  result.bounds.tensor = Seconds(4e-6);
  result.bounds.hbm = Seconds(6e-6);
  REQUIRE(result.bound_by() == "hbm");
  result.time = Seconds(13e-6);
  REQUIRE(result.bound_by() == "latency");
  result.reason_cycles[static_cast<std::size_t>(CycleReason::wait_hbm)] = 5;
  result.reason_cycles[static_cast<std::size_t>(CycleReason::idle)] = 7;
  REQUIRE(result.top_reason() == CycleReason::idle);
}
