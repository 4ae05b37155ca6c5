// SPDX-License-Identifier: Apache-2.0
#include "models/reference/mask.h"

#include <algorithm>
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/uniform_int_distribution.hpp>
#include <set>

namespace lightcone::models::reference {

namespace {

// attended(position of the query, key)
template <class Rule>
Mask mask_where(Index queries, Index keys, const Rule& attended) {
  return Mask::NullaryExpr(queries, keys, [&](Index i, Index j) { return attended(keys - queries + i, j); });
}

}  // namespace

Mask full_mask(Index queries, Index keys) { return Mask::Constant(queries, keys, true); }

Mask causal_mask(Index queries, Index keys) {
  return mask_where(queries, keys, [](Index i, Index j) { return j <= i; });
}

Mask window_mask(Index queries, Index keys, Index window) {
  return mask_where(queries, keys, [&](Index i, Index j) { return j <= i && j > i - window; });
}

Mask sink_window_mask(Index queries, Index keys, Index sinks, Index recent) {
  return mask_where(queries, keys, [&](Index i, Index j) { return j <= i && (j < sinks || j > i - recent); });
}

Mask strided_mask(Index tokens, Index stride) {
  return mask_where(tokens, tokens, [&](Index i, Index j) { return j <= i && (i - j) % stride == 0; });
}

Mask fixed_mask(Index tokens, Index stride, Index summary) {
  return mask_where(tokens, tokens, [&](Index i, Index j) {
    return j <= i && (i / stride == j / stride || j % stride >= stride - summary);
  });
}

Mask longformer_mask(Index tokens, Index one_sided, Index dilation, const std::vector<Index>& global) {
  const std::set<Index> globals(global.begin(), global.end());
  return mask_where(tokens, tokens, [&](Index i, Index j) {
    const Index distance = std::abs(i - j);
    return (distance % dilation == 0 && distance / dilation <= one_sided) || globals.contains(i) || globals.contains(j);
  });
}

BlockList bigbird_blocks(Index blocks, Index random, std::uint64_t seed) {
  boost::random::mt19937_64 engine(seed);
  BlockList list(static_cast<std::size_t>(blocks));
  for (Index i = 0; i < blocks; ++i) {
    std::set<Index> attended;
    if (i == 0 || i == blocks - 1) {
      for (Index j = 0; j < blocks; ++j) attended.insert(j);
    } else {
      attended = {0, i - 1, i, i + 1, blocks - 1};
      const std::size_t wanted = std::min(attended.size() + static_cast<std::size_t>(random),  //
                                          static_cast<std::size_t>(blocks));
      boost::random::uniform_int_distribution<Index> any(0, blocks - 1);
      while (attended.size() < wanted) attended.insert(any(engine));
    }
    list[static_cast<std::size_t>(i)].assign(attended.begin(), attended.end());
  }
  return list;
}

BlockList blocks_of(const Mask& mask, Index query_block, Index key_block) {
  BlockList list;
  for (Index i = 0; i < mask.rows(); i += query_block) {
    std::vector<Index>& row = list.emplace_back();
    for (Index j = 0; j < mask.cols(); j += key_block) {
      const Index rows = std::min(query_block, mask.rows() - i), columns = std::min(key_block, mask.cols() - j);
      if (mask.block(i, j, rows, columns).any()) row.push_back(j / key_block);
    }
  }
  return list;
}

Mask mask_of(const BlockList& blocks, Index queries, Index keys, Index query_block, Index key_block, bool causal) {
  return Mask::NullaryExpr(queries, keys, [&](Index i, Index j) {
    const std::vector<Index>& row = blocks.at(static_cast<std::size_t>(i / query_block));
    return std::binary_search(row.begin(), row.end(), j / key_block) && (!causal || j <= keys - queries + i);
  });
}

std::uint64_t pairs(const Mask& mask) { return static_cast<std::uint64_t>(mask.count()); }

}  // namespace lightcone::models::reference
