// SPDX-License-Identifier: Apache-2.0
// How a collective is run: whose library, which algorithm and protocol. What is left open the library chooses.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lightcone::scenarios {

enum class CollectiveAlgorithm : std::uint8_t {
  ring,
  tree,              // one binary tree
  double_tree,       // two, each with half of the data: every rank is a leaf in one of them
  halving_doubling,  // recursive: partners at distance 1, 2, 4, ...
  in_switch,         // the switch adds and copies (NVLS)
  direct,            // every rank to every other
  hierarchical,      // inside the domains, across them, inside again
  one_shot,          // every rank reads all buffers and adds
  two_shot           // every rank adds its part and gives it to all
};
std::string_view name(CollectiveAlgorithm algorithm);

// How NCCL says that data have come.
enum class CollectiveProtocol : std::uint8_t {
  ll,      // a flag of 4 bytes beside every 4 bytes
  ll128,   // a flag of 8 bytes beside every 120
  simple,  // a counter after a fence
};
std::string_view name(CollectiveProtocol protocol);

enum class CollectiveLibrary : std::uint8_t {
  nccl,
  vllm,          // custom all-reduce below a size, NCCL above
  sglang,        // the same
  tensorrt_llm,  // the same
};

struct CollectiveOptions {
  CollectiveLibrary library = CollectiveLibrary::nccl;
  std::optional<CollectiveAlgorithm> algorithm;
  std::optional<CollectiveProtocol> protocol;  // of ring and trees
  std::optional<std::uint32_t> channels;       // workers of each rank
};

}  // namespace lightcone::scenarios
