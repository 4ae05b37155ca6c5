// SPDX-License-Identifier: Apache-2.0
// Collective operations of a model that several GPUs share: what is exchanged among which ranks. How (ring, tree, in
// the switch) is the mapping's choice.
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/base/number_format.h"

namespace lightcone::models {

enum class CollectiveKind : std::uint8_t {
  all_reduce,      // every rank ends with the sum of all
  reduce_scatter,  // every rank ends with its part of the sum
  all_gather,      // every rank ends with all parts
  all_to_all,      // rank i's part j goes to rank j
  broadcast,       // from one rank to all
  send_receive,    // from each rank to the next
};
std::string_view name(CollectiveKind kind);

// The dimension of the parallel plan whose ranks take part.
enum class ParallelAxis : std::uint8_t { tensor, context, expert, data, pipeline };
std::string_view name(ParallelAxis axis);

// `elements` as nccl-tests count them: of all_reduce, broadcast and send_receive the buffer of each rank; of all_gather
// the gathered result, of reduce_scatter the input, of all_to_all what each rank sends, its own part included.
struct Communication {
  CollectiveKind kind = CollectiveKind::all_reduce;
  ParallelAxis axis = ParallelAxis::tensor;
  std::uint64_t ranks = 1;
  std::uint64_t elements = 0;
  NumberFormat format = NumberFormat::bf16;
};

}  // namespace lightcone::models
