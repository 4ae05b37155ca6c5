// SPDX-License-Identifier: Apache-2.0
// All the work of a program in one pass over the operations of each group of CTAs: exact sums per group (closed form,
// no walk over CTAs), and what each tensor's boxes touch. Everything the analytical evaluator needs to know of a
// program, counted once.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hardware/power/energy.h"
#include "hardware/program/sums.h"
#include "hardware/program/tile_program.h"

namespace lightcone::hardware {

// Amounts, summed over CTAs.
struct Demand {
  std::array<double, kNumberFormats.size()> mma_flops{};  // executed
  double fp32_ops = 0, int_ops = 0, sfu_ops = 0;
  double mma_shared_bytes = 0;    // operands read by the tensor core
  double other_shared_bytes = 0;  // explicit accesses
  double copied_bytes = 0;        // into and out of shared memory by asynchronous copies
  double bulk_bytes = 0;          // of these, requested by this CTA from L2 by bulk copies (its share of a multicast)
  double register_bytes = 0;      // plain loads and stores
  double received_bytes = 0;      // global bytes that arrive at the SM
  double requested_bytes = 0;     // global bytes that leave L2 slices
  double stored_bytes = 0;

  Demand& operator+=(const Demand& other);
};

// The boxes of one load or store operation over the whole grid.
struct Access {
  std::uint32_t tensor = 0;
  bool store = false;
  bool through_l1 = false;
  double multicast = 1;
  double run_bytes = 0;  // of one row before the next row starts elsewhere; 0: rows follow each other
  double bytes = 0;      // moved, once per CTA that receives or sends them
  double runs = 0;       // executions
  double distinct = 0;   // bytes of the hull of everything touched
  double surely = 0;     // a lower bound of the distinct bytes
  double per_waves = 0;  // distinct bytes of each wave of resident CTAs, summed over the waves
};

struct GroupWork {
  Demand demand;
  std::uint64_t ctas = 0;
};

struct WorkSummary {
  Demand total;
  FormatFlops executed{};
  Flops useful, vector_flops;
  std::uint64_t sfu_ops = 0;
  std::uint64_t ctas = 0;
  double shared_signals = 0;  // of all CTAs, to counters that they share: atomics on one address
  std::vector<GroupWork> groups;
  // Accesses of class c, in the order of its loads and stores over its roles' operations.
  std::vector<std::vector<Access>> accesses;
};

// `concurrent`: CTAs that run at once on the GPU; it decides what a wave of CTAs shares in L2.
WorkSummary summarize(const TileProgram& program, std::uint64_t concurrent);

}  // namespace lightcone::hardware
