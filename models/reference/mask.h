// SPDX-License-Identifier: Apache-2.0
// Which keys a query may attend to: the masks of dense and sparse softmax attention. Queries are the last of the key
// positions, as in models/graph/operator.h: query i of q stands at position keys - q + i.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

namespace lightcone::models::reference {

using Index = Eigen::Index;
using Mask = Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;  // [queries, keys], true: attended

Mask full_mask(Index queries, Index keys);

// j <= i.
Mask causal_mask(Index queries, Index keys);

// Sliding window (Mistral, Gemma-2, gpt-oss): i - window < j <= i.
Mask window_mask(Index queries, Index keys, Index window);

// StreamingLLM (Xiao et al. 2023): the first `sinks` keys and the last `recent` ones, causal.
Mask sink_window_mask(Index queries, Index keys, Index sinks, Index recent);

// Strided head of the Sparse Transformer (Child et al. 2019): (i - j) mod stride = 0, causal. Its other head is a
// sliding window of `stride`.
Mask strided_mask(Index tokens, Index stride);

// "Fixed" head of the Sparse Transformer, both parts merged: the own block of `stride` tokens and the last `summary`
// tokens of every block, causal.
Mask fixed_mask(Index tokens, Index stride, Index summary);

// Longformer (Beltagy et al. 2020), bidirectional: |i - j| <= one_sided * dilation in steps of `dilation`; tokens of
// `global` see all and are seen by all.
Mask longformer_mask(Index tokens, Index one_sided, Index dilation, const std::vector<Index>& global);

// For each block of queries the blocks of keys it attends to, ascending.
using BlockList = std::vector<std::vector<Index>>;

// BigBird (Zaheer et al. 2020), bidirectional, by blocks: the first and last block are global (they see all and are
// seen by all); every other block sees itself, its two neighbours, the global ones and `random` further ones.
BlockList bigbird_blocks(Index blocks, Index random, std::uint64_t seed);

// The blocks of `query_block` x `key_block` that hold an attended pair: what a block-sparse kernel visits.
BlockList blocks_of(const Mask& mask, Index query_block, Index key_block);

// The pairs inside the listed blocks of `key_block` keys, a list per `query_block` queries; causal: without the pairs
// of keys after the query (those of the diagonal blocks).
Mask mask_of(const BlockList& blocks, Index queries, Index keys, Index query_block, Index key_block, bool causal);

// Attended pairs.
std::uint64_t pairs(const Mask& mask);

}  // namespace lightcone::models::reference
