// SPDX-License-Identifier: Apache-2.0
// What a kernel is: a grid of CTAs, each a few roles (a producer warp, consumer warpgroups), each role a short program
// of macro-operations with loops. Amounts are exact: FLOPs, bytes, addresses; never a measured time. Both evaluators
// (hardware/machine) read this description, and nothing else, of a kernel.
//
// Synchronisation inside a CTA goes through *pipes*: rings of shared-memory stages with a full and an empty barrier
// per stage (CUTLASS PipelineTmaAsync; cp.async commit groups on Ampere). Producer: acquire, load..., commit.
// Consumer: wait, use, release. A stage is free again when every consumer has released it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "sim/base/number_format.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

// ---- Where data is -------------------------------------------------------------------------------------------

enum class Residency : std::uint8_t { cold, warm };  // in the L2 cache when the kernel starts (as far as it fits)

struct Tensor {
  std::string name;
  Bytes bytes;
  Residency residency = Residency::cold;
  bool written = false;  // the kernel writes it: warm lines of it are dirty
};

// A coordinate of the CTA (its place in the grid) or a loop counter of the role.
enum class Var : std::uint8_t { none, cta0, cta1, cta2, cta3, loop0, loop1 };
inline constexpr std::size_t kVarCount = 7;
// The values of all variables, indexed by Var; values[none] is 0.
using VarValues = std::array<std::int64_t, kVarCount>;

struct Term {
  Var var = Var::none;
  std::int64_t stride_bytes = 0;
};

// A box of a row-major matrix inside a tensor: `rows` rows of `row_bytes`, starting at row value(row_var) * row_step +
// first_row and at byte value(column_var) * column_step_bytes + first_column_byte of the row, plus the outer terms
// (batch, head). What lies beyond the extents is clipped: it is neither read nor written (TMA fills it with zeros).
struct Box {
  std::uint32_t tensor = 0;  // index into TileProgram::tensors
  Var row_var = Var::none;
  std::uint32_t rows = 1;
  std::uint64_t row_extent = 1;
  std::uint64_t row_pitch_bytes = 0;
  Var column_var = Var::none;
  std::uint64_t row_bytes = 0;
  std::uint64_t column_extent_bytes = 0;  // bytes of one row of the matrix
  std::uint64_t first_row = 0;            // added to the starting row (a role's share of a tile)
  std::uint64_t first_column_byte = 0;
  std::array<Term, 3> outer{};  // whole-matrix offsets
  // From one value of the variable to the next. 0: boxes side by side (rows, row_bytes); larger when the box is a
  // role's share of its CTA's tile.
  std::uint64_t row_step = 0;
  std::uint64_t column_step_bytes = 0;
};

// ---- Macro-operations ----------------------------------------------------------------------------------------

// Loops count like C's `for`: the loop variable holds `first` from the start of the role until the loop runs, and
// first + count after it (first alone when count is 0). Work before or after a loop may use these values.
struct LoopBegin {
  std::uint8_t loop = 0;
};  // runs CtaGroup::loops[loop]; loop1 may nest inside loop0 or stand after it
struct LoopEnd {};

struct AcquireStage {
  std::uint8_t pipe = 0;
};  // producer: wait for an empty stage
struct CommitStage {
  std::uint8_t pipe = 0;
};  // producer: the stage is full once its loads have landed
struct WaitStage {
  std::uint8_t pipe = 0;
};  // consumer: wait for the next full stage
struct ReleaseStage {
  std::uint8_t pipe = 0;
};  // consumer: done with the oldest waited stage

enum class CopyPath : std::uint8_t {
  bulk,  // TMA (or cp.async on Ampere): global -> shared (and shared -> global) without registers
  lsu,   // plain loads and stores through L1
};

// Asynchronous global -> shared copy into the current stage of `pipe`.
// multicast: the CTAs of a cluster share the box; each fetches 1/multicast of it from L2, and every one receives it
// all. The CTAs of a cluster are taken to run in lockstep.
struct LoadTile {
  std::uint8_t pipe = 0;
  Box box{};
  CopyPath path = CopyPath::bulk;
  std::uint8_t multicast = 1;
  // Each CTA keeps only the share that it fetches: the instructions of a pair of SMs (tcgen05, cta_group::2) read the
  // operand from both shared memories.
  bool split_over_pair = false;
};

// Plain loads into registers. Asynchronous: the next WaitLoads of the role waits for them.
struct GlobalLoad {
  Box box{};
};
struct WaitLoads {};
// Stores complete in the background; WaitStores (implied at the end of a CTA) waits for their acknowledgement.
// `segment_bytes`: contiguous bytes of a row that one warp instruction writes, when that is less than a line (an
// accumulator fragment written as it lies in registers: 16 bytes in each of 8 rows). The load/store unit takes one
// clock per segment. 0: whole lines.
struct GlobalStore {
  Box box{};
  CopyPath path = CopyPath::lsu;
  std::uint16_t segment_bytes = 0;
};
struct WaitStores {};

// Which part of an MMA is useful. Rows/columns beyond an extent, and pairs that the attention mask removes, are
// executed (the tensor core does not know) but not counted as useful FLOPs.
enum class MaskKind : std::uint8_t { none, causal };
struct UsefulPart {
  Var m_var = Var::none;  // first row = value(m_var) * m_step + m_first
  std::uint64_t m_step = 0, m_first = 0, m_extent = ~std::uint64_t{0};
  Var n_var = Var::none;
  std::uint64_t n_step = 0, n_first = 0, n_extent = ~std::uint64_t{0};
  Var k_var = Var::none;
  std::uint64_t k_step = 0, k_extent = ~std::uint64_t{0};
  // Attention: pair (row, column) counts when column <= row/row_divisor + diagonal and, with a window, column >
  // row/row_divisor + diagonal - window. `columns_are_k`: the key index runs along k (P x V) instead of n (Q x K^T).
  MaskKind mask = MaskKind::none;
  std::int64_t diagonal = 0;
  std::uint64_t window = 0;       // 0: no window
  std::uint32_t row_divisor = 1;  // query heads packed into the rows of one tile (GQA packing)
  bool columns_are_k = false;
  // Sparse attention: how many pairs of the tile count, where no mask says it. 0: those of the extents and the mask.
  std::uint64_t pairs = 0;
};

enum class OperandSource : std::uint8_t { registers, shared };

// Matrix multiply-accumulate of m x n x k on the tensor core by this role's warps, issued as the generation's
// instructions. Shared-memory reads follow from the operand sources. Asynchronous until MmaWait.
struct Mma {
  std::uint32_t m = 0, n = 0, k = 0;
  NumberFormat format = NumberFormat::bf16;
  OperandSource a = OperandSource::shared;
  // Bytes read from shared memory for the operands, over all warps of the role (the mapping knows the warp tiling).
  std::uint64_t shared_read_bytes = 0;
  UsefulPart useful{};
};
struct MmaWait {
  std::uint8_t allowed_in_flight = 0;
};  // wait until at most this many Mma of the role are unfinished

// Work of the role's warps on the general lanes, in scalar operations over the whole role. The lanes work side by
// side; the time is that of the busiest one, and of the issue slots (one warp instruction per 32 operations).
struct VectorWork {
  std::uint64_t fp32_ops = 0;    // FMA, add, mul, max, convert: one lane-cycle each
  std::uint64_t fp32_flops = 0;  // FLOPs among them that the operator's formula counts (FMA = 2)
  std::uint64_t int_ops = 0;
  std::uint64_t sfu_ops = 0;           // exp2, rcp, rsqrt, tanh
  std::uint64_t dependent_cycles = 0;  // latency of the longest dependent chain (shuffles, reductions)
};
struct SharedAccess {
  std::uint64_t read_bytes = 0, write_bytes = 0;
};

// Barrier among roles of one CTA; `id` names it, every role that lists it takes part (__syncthreads, named barrier).
struct CtaBarrier {
  std::uint8_t id = 0;
};

// Order between CTAs through a counter in global memory (semaphore): stream-K fix-up, grid sync.
struct Signal {
  std::uint32_t counter_base = 0;
  Var counter_var = Var::none;
  std::uint32_t counter_stride = 1;
};
struct AwaitSignal {
  std::uint32_t counter_base = 0;
  Var counter_var = Var::none;
  std::uint32_t counter_stride = 1;
  std::uint32_t count = 1;
};

// A fixed wait of the role (address set-up, scheduler query), in SM cycles.
struct Delay {
  std::uint64_t cycles = 0;
};

// Every kind of macro-operation. The evaluators visit all of them: a new kind does not compile until both know it.
using Op = std::variant<LoopBegin, LoopEnd, AcquireStage, CommitStage, WaitStage, ReleaseStage, LoadTile, GlobalLoad,
                        WaitLoads, GlobalStore, WaitStores, Mma, MmaWait, VectorWork, SharedAccess, CtaBarrier, Signal,
                        AwaitSignal, Delay>;

// ---- Programs ------------------------------------------------------------------------------------------------

struct Role {
  std::string name;
  std::uint32_t warps = 1;
  std::vector<Op> ops;
};

struct Pipe {
  std::string name;
  std::uint32_t stages = 1;
  std::uint32_t consumers = 1;  // releases that free a stage
};

// CTAs that run the same role programs.
struct CtaClass {
  std::string name;
  std::vector<Role> roles;
  std::vector<Pipe> pipes;
};

struct LoopRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// A block of consecutive CTAs of the grid. Coordinates run over `extent`, cta0 fastest, starting at `origin`; with
// `band` > 0, cta0 runs inside bands of that width and cta1 next (grouped rasterisation, for L2 reuse).
struct CtaGroup {
  std::uint16_t cta_class = 0;
  std::array<std::uint32_t, 4> extent{1, 1, 1, 1};
  std::array<std::int64_t, 4> origin{0, 0, 0, 0};
  std::uint32_t band = 0;
  std::array<LoopRange, 2> loops{};

  [[nodiscard]] std::uint64_t count() const { return std::uint64_t{extent[0]} * extent[1] * extent[2] * extent[3]; }
};

struct TileProgram {
  std::string name;  // e.g. "gemm_wgmma_128x256x64_s4_persistent"
  std::vector<Tensor> tensors;
  std::vector<CtaClass> classes;
  std::vector<CtaGroup> groups;  // launch order
  std::uint32_t threads_per_cta = 128;
  std::uint32_t registers_per_thread = 128;
  Bytes shared_memory_per_cta;
  std::uint32_t cluster_size = 1;
  // Persistent: as many CTAs as fit at once, each role takes work item i, i + resident, ... and may run ahead of the
  // other roles; no CTA launch between items. Otherwise each CTA is launched and retired.
  bool persistent = false;
  // CTA coordinates of the next kernel may start before this one ends (programmatic dependent launch): not modelled.
  [[nodiscard]] std::uint64_t cta_count() const;
};

// Coordinates (cta0..cta3) of CTA number `index` of the group.
std::array<std::int64_t, 4> coordinates(const CtaGroup& group, std::uint64_t index);

// The part of the box that lies inside its matrix, as bytes: first byte of the tensor, rows and bytes per row.
struct ClippedBox {
  std::uint64_t offset = 0;
  std::uint64_t rows = 0;
  std::uint64_t row_bytes = 0;
};
ClippedBox clip(const Box& box, const VarValues& values);

// Useful FLOPs of one execution of `mma` (2 per useful multiply-add).
Flops useful_flops(const Mma& mma, const VarValues& values);

// Exact totals of a program, by walking every CTA and loop (closed form per group where coordinates do not matter).
struct ProgramTotals {
  Flops mma_executed;  // what the tensor cores do, padding included
  Flops mma_useful;    // what the operator's formula counts
  Flops vector_flops;
  std::uint64_t sfu_ops = 0;
  Bytes loaded;  // global bytes asked for by loads, counted once per CTA that receives them
  Bytes stored;
};
ProgramTotals totals(const TileProgram& program);

// 128-bit content hash over every field that an evaluator reads, as 32 hex digits: the kernel store's key. Labels of
// tensors, classes, roles and pipes are not part of it; the program's own name is.
std::string content_hash(const TileProgram& program);

// Throws std::logic_error when the program is malformed: unknown tensor, a box that reaches beyond its tensor,
// unbalanced loops, a pipe whose commits, waits and releases differ, a grid that clusters do not divide. Mapping tests
// call it on everything they build.
void check(const TileProgram& program);

}  // namespace lightcone::hardware
