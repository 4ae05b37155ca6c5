// SPDX-License-Identifier: Apache-2.0
// Pairs and keys of sparse attention against the masks of models/reference, counted pair by pair.
#include <algorithm>
#include <cstdint>

#include "catch.h"
#include "models/graph/operator.h"
#include "models/reference/mask.h"
#include "models/reference/moba.h"
#include "models/reference/nsa.h"
#include "models/reference/quest.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;
using reference::Index;
using reference::Mask;

namespace {

SparseAttention pattern(std::uint64_t q_len, std::uint64_t kv_len, const KeyPattern& keys, bool causal = true) {
  SparseAttention op;
  op.batch = 1;
  op.heads = op.kv_heads = 1;
  op.q_len = q_len;
  op.kv_len = kv_len;
  op.head_dim = 8;
  op.keys = keys;
  op.causal = causal;
  return op;
}

std::uint64_t u(Index value) { return static_cast<std::uint64_t>(value); }

std::uint64_t seen_columns(const Mask& mask) { return u(mask.colwise().any().count()); }

void require_mask(const SparseAttention& op, const Mask& mask) {
  CAPTURE(op.q_len, op.kv_len);
  for (Index i = 0; i < mask.rows(); ++i) {
    CAPTURE(i);
    REQUIRE(seen_keys(op, u(i)).total() == u(mask.row(i).count()));
  }
  REQUIRE(attended_pairs(op) == reference::pairs(mask));
  REQUIRE(visible_keys(op) == seen_columns(mask));
  REQUIRE(cost(op).matrix_flops.count() == 2 * reference::pairs(mask) * 16);
}

}  // namespace

TEST_CASE("no field means every key before the query") {
  require_mask(pattern(5, 9, {}), reference::causal_mask(5, 9));
  require_mask(pattern(5, 9, {}, false), reference::full_mask(5, 9));
}

TEST_CASE("sinks and window see what StreamingLLM's mask lets them see") {
  for (const Index keys : {1, 7, 40}) {
    for (const Index queries : {Index{1}, keys / 2 + 1, keys}) {
      for (const Index sinks : {1, 4}) {
        for (const Index recent : {1, 8, 64}) {
          require_mask(pattern(u(queries), u(keys), {.window = u(recent), .first = u(sinks)}),
                       reference::sink_window_mask(queries, keys, sinks, recent));
        }
      }
    }
  }
}

TEST_CASE("the fixed heads of the Sparse Transformer see their block and the ends of those before") {
  for (const Index tokens : {1, 16, 37, 64}) {
    for (const Index stride : {4, 8, 16}) {
      for (const Index summary : {1, 2, 4}) {
        require_mask(pattern(u(tokens), u(tokens), {.block = u(stride), .local = 1, .summary = u(summary)}),
                     reference::fixed_mask(tokens, stride, summary));
      }
    }
  }
}

TEST_CASE("Longformer's window lies on both sides, its global tokens see and are seen by all") {
  for (const Index tokens : {5, 33}) {
    for (const Index one_sided : {1, 4}) {
      for (const Index global : {1, 3}) {
        std::vector<Index> tokens_seen(u(global));
        for (Index i = 0; i < global; ++i) tokens_seen[u(i)] = i;
        require_mask(
            pattern(u(tokens), u(tokens), {.window = u(one_sided) + 1, .first = u(global), .global_rows = true}, false),
            reference::longformer_mask(tokens, one_sided, 1, tokens_seen));
      }
    }
  }
}

TEST_CASE("BigBird sees its neighbours, the global blocks and as many random ones as there are") {
  for (const Index blocks : {3, 5, 6, 12}) {
    for (const Index random : {1, 3}) {
      const Index block = 4, tokens = blocks * block;
      const Mask mask =
          reference::mask_of(reference::bigbird_blocks(blocks, random, 7), tokens, tokens, block, block, false);
      require_mask(
          pattern(u(tokens), u(tokens),
                  {.block = u(block), .local = 2, .first = 1, .last = 1, .global_rows = true, .chosen = u(random)},
                  false),
          mask);
    }
  }
}

TEST_CASE("blocks chosen by NSA, MoBA and Quest count as the reference chooses them") {
  reference::SeededValues values(3);
  const Index tokens = 75, d = 4;
  const auto q = values.matrix(tokens, d), k = values.matrix(tokens, d);
  const auto pairs_of = [&](const reference::BlockList& list, Index queries, Index block) {
    return reference::pairs(reference::mask_of(list, queries, tokens, 1, block, true));
  };
  for (const Index top : {1, 3, 6, 30}) {
    CAPTURE(top);
    const KeyPattern moba{.block = 8, .local = 1, .chosen = u(top) - 1, .per_query = true, .per_head = true};
    REQUIRE(attended_pairs(pattern(75, 75, moba)) == pairs_of(reference::moba_select<double>(q, k, 8, top), tokens, 8));
  }
  // NSA: the first, the own and the block before always; then those of largest importance.
  for (const Index selected : {3, 4, 16}) {
    const reference::NsaShape shape{
        .compress_block = 4, .stride = 2, .select_block = 8, .selected = selected, .window = 16};
    reference::BlockList list;
    for (Index t = 0; t < tokens; ++t) {
      list.push_back(reference::nsa_select<double>(values.matrix(1, t / 8 + 1).row(0).transpose(), t, shape));
    }
    const KeyPattern keys{.block = 8, .local = 2, .first = 1, .chosen = u(selected) - 3, .per_query = true};
    REQUIRE(attended_pairs(pattern(75, 75, keys)) == pairs_of(list, tokens, 8));
    // The compressed branch: key c is seen once its last token is there.
    SparseAttention compressed = pattern(75, u(shape.compressed(tokens)), {.step = 2, .span = 4});
    compressed.tokens = 75;
    std::uint64_t counted = 0;
    for (Index t = 0; t < tokens; ++t) {
      REQUIRE(seen_keys(compressed, u(t)).total() == u(shape.visible_compressed(t)));
      counted += u(shape.visible_compressed(t));
    }
    REQUIRE(attended_pairs(compressed) == counted);
  }
  // Quest at decode, a cache of whole pages: the page that is being filled is among the best.
  const KeyPattern quest{.block = 5, .local = 1, .chosen = 3, .per_query = true, .per_head = true};
  const auto scores = reference::page_scores<double>(q.row(0).transpose(), reference::page_bounds(k, 5));
  REQUIRE(attended_pairs(pattern(1, 75, quest)) == pairs_of({reference::sorted_top_k(scores, 4)}, 1, 5));
}

TEST_CASE("a decode step reads the chosen keys of every list, and the lists") {
  SparseAttention op = pattern(1, 1000, {.block = 16, .local = 1, .chosen = 9, .per_query = true});
  op.heads = 8;
  op.kv_heads = 2;
  op.batch = 3;
  // 1000 = 62 pages and a half: nine pages and the 8 keys of the last one.
  REQUIRE(visible_keys(op) == 9 * 16 + 8);
  REQUIRE(cost(op).read_bytes == Bytes(3 * (2 * 8 * 8 + 2 * 2 * (9 * 16 + 8) * 2 * 8 + 2 * 9 * 4)));
  op.keys.per_head = true;  // four heads read four lists, of other pages
  REQUIRE(visible_keys(op) == 4 * 9 * 16 + 8);
  op.keys.chosen = 40;
  REQUIRE(visible_keys(op) == 1000);
}

TEST_CASE("patterns that contradict themselves are refused") {
  REQUIRE_THROWS_AS(cost(pattern(4, 8, {.block = 0})), ConfigError);
  REQUIRE_THROWS_AS(cost(pattern(4, 8, {.last = 1})), ConfigError);
  REQUIRE_THROWS_AS(cost(pattern(4, 8, {.block = 4, .summary = 5})), ConfigError);
  REQUIRE_THROWS_AS(cost(pattern(9, 8, {})), ConfigError);
  SparseAttention heads = pattern(4, 8, {});
  heads.heads = 3;
  heads.kv_heads = 2;
  REQUIRE_THROWS_AS(cost(heads), ConfigError);
}
