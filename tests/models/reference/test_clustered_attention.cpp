// SPDX-License-Identifier: Apache-2.0
// Attention by hashing (Reformer) and by clustering (Routing Transformer): the gathered forms equal the same masks
// dense.
#include "catch.h"
#include "models/reference/cluster_former.h"
#include "models/reference/counted.h"
#include "models/reference/lsh_attention.h"
#include "models/reference/routing_attention.h"

using namespace lightcone::models::reference;

namespace {

Matrix<float> f(const Matrix<double>& m) { return m.cast<float>(); }

struct Hashed {
  Matrix<double> qk, v;
  std::vector<std::vector<Index>> buckets;
};

Hashed hashed(Index tokens, Index rounds, Index buckets, std::uint64_t seed = 1) {
  SeededValues values(seed);
  Hashed h{values.matrix(tokens, 16), values.matrix(tokens, 24), {}};
  for (Index r = 0; r < rounds; ++r) h.buckets.push_back(lsh_buckets(h.qk, values.matrix(16, buckets / 2)));
  return h;
}

RoutingInputs<double> routing_inputs(Index tokens, Index clusters, Index window) {
  SeededValues values(2);
  RoutingInputs<double> in{values.matrix(tokens, 16),
                           values.matrix(tokens, 16),
                           values.matrix(tokens, 24),
                           values.matrix(clusters, 16),
                           values.matrix(clusters, 16),
                           values.matrix(clusters, 24),
                           window};
  in.centroids.rowwise().normalize();
  return in;
}

}  // namespace

TEST_CASE("the hash puts parallel vectors together and opposite ones half the buckets apart") {
  SeededValues values(3);
  const Matrix<double> x = values.matrix(50, 8), r = values.matrix(8, 4);
  const std::vector<Index> buckets = lsh_buckets(x, r);
  CHECK(lsh_buckets<double>(3 * x, r) == buckets);
  const std::vector<Index> opposite = lsh_buckets<double>(-x, r);
  for (std::size_t t = 0; t < buckets.size(); ++t) CHECK(opposite[t] == (buckets[t] + 4) % 8);
  CHECK(*std::max_element(buckets.begin(), buckets.end()) == 7);
  CHECK(*std::min_element(buckets.begin(), buckets.end()) == 0);
}

TEST_CASE("the sorted list runs by round, bucket and time") {
  const std::vector<LshSlot> slots = lsh_sorted({{1, 0, 1, 0}, {0, 0, 1, 0}});
  std::vector<Index> tokens;
  for (const LshSlot& s : slots) tokens.push_back(s.token);
  CHECK(tokens == std::vector<Index>{1, 3, 0, 2, 0, 1, 3, 2});
}

TEST_CASE("LSH attention by chunks equals the same masks dense") {
  for (const Index tokens : {Index(16), Index(32), Index(96)}) {
    for (const Index rounds : {1, 2, 4}) {
      const Hashed h = hashed(tokens, rounds, std::max<Index>(2, tokens / 16));
      for (const unsigned masks : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u}) {
        const LshOptions options{16, (masks & 1) != 0, (masks & 2) != 0, (masks & 4) != 0};
        CAPTURE(tokens, rounds, options.causal, options.own_bucket_only, options.correct_duplicates);
        const Matrix<double> expected = lsh_attention(h.qk, h.v, h.buckets, options);
        CHECK(rms_ratio(lsh_attention_by_chunks(h.qk, h.v, h.buckets, options), expected) < 1e-12);
        CHECK(rms_ratio(lsh_attention_by_chunks<float>(f(h.qk), f(h.v), h.buckets, options), expected) < 5e-6);
      }
    }
  }
}

TEST_CASE("LSH attention of one token is its value; a chunk that does not divide the tokens is refused") {
  const Hashed h = hashed(1, 2, 2);
  CHECK(rms_ratio(lsh_attention_by_chunks(h.qk, h.v, h.buckets, {.chunk = 1}), h.v) < 1e-12);
  CHECK_THROWS_AS(lsh_attention_by_chunks(h.qk, h.v, h.buckets, {.chunk = 2}), std::invalid_argument);
}

TEST_CASE("LSH attention with one chunk is full attention with normalised keys and its own rule for the self") {
  for (const bool causal : {true, false}) {
    for (const bool correct : {true, false}) {
      const Hashed h = hashed(48, 3, 2);
      Matrix<double> k = h.qk;
      for (Index t = 0; t < 48; ++t) k.row(t) /= k.row(t).norm();
      const Mask mask = causal ? causal_mask(48, 48) : full_mask(48, 48);
      Matrix<double> scores = attention_scores(h.qk, k, mask);
      scores.diagonal().setConstant(-5e4);
      const Matrix<double> full = attend(scores, h.v).output;
      CHECK(rms_ratio(lsh_attention_by_chunks(h.qk, h.v, h.buckets, {48, causal, false, correct}), full) < 1e-12);
      if (causal) CHECK(rms_ratio(full.row(0), h.v.row(0)) < 1e-12);  // nothing else is there
    }
  }
}

TEST_CASE("the duplicate correction and the bucket mask change the result, more rounds approach full attention") {
  const Hashed h = hashed(256, 8, 16);
  const auto result = [&](std::size_t rounds, bool own, bool correct) {
    return lsh_attention(h.qk, h.v, {h.buckets.begin(), h.buckets.begin() + static_cast<std::ptrdiff_t>(rounds)},
                         {16, true, own, correct});
  };
  CHECK(rms_ratio(result(8, false, true), result(8, false, false)) > 0.01);
  CHECK(rms_ratio(result(8, true, true), result(8, false, true)) > 0.01);
  Matrix<double> scores = attention_scores(h.qk, lsh_keys(h.qk), causal_mask(256, 256));
  scores.diagonal().setConstant(kSelfScore);
  const Matrix<double> full = attend(scores, h.v).output;
  CHECK(rms_ratio(result(8, false, true), full) < 0.7 * rms_ratio(result(1, false, true), full));
}

TEST_CASE("hashing costs 2 T d (buckets / 2) FLOP per round; LSH visits two chunks per query and round") {
  SeededValues values(4);
  const Matrix<Counted> x = values.matrix(64, 16).cast<Counted>(), r = values.matrix(16, 4).cast<Counted>();
  Counted::reset();
  (void)lsh_buckets(x, r);
  CHECK(Counted::counts().flops() == 2 * 64 * 16 * 4);
  const Hashed h = hashed(64, 3, 4);
  CHECK(lsh_meetings(lsh_sorted(h.buckets), 64, {16, false, false, false}).sum() == 3 * 64 * 2 * 16);
}

TEST_CASE("routing attention by gathering equals the same masks dense") {
  for (const auto& [tokens, clusters, window] :
       std::vector<std::array<Index, 3>>{{1, 1, 1}, {1, 3, 5}, {64, 8, 8}, {75, 4, 30}, {75, 5, 1}, {20, 2, 99}}) {
    CAPTURE(tokens, clusters, window);
    const RoutingInputs<double> in = routing_inputs(tokens, clusters, window);
    const RoutingInputs<float> single{f(in.q),        f(in.k),        f(in.v),  f(in.centroids),
                                      f(in.memory_k), f(in.memory_v), in.window};
    const Matrix<double> expected = routing_attention(in);
    CHECK(rms_ratio(routing_attention_by_gather(in, {16, 16}), expected) < 1e-12);
    CHECK(cluster_members(single.q, single.centroids, window) == cluster_members(in.q, in.centroids, window));
    CHECK(cluster_members(single.k, single.centroids, window) == cluster_members(in.k, in.centroids, window));
    CHECK(rms_ratio(routing_attention_by_gather(single, {16, 16}), expected) < 5e-6);
  }
}

TEST_CASE("one cluster of all tokens is causal attention with one memory key; queries in no cluster get zero") {
  const RoutingInputs<double> in = routing_inputs(40, 1, 40);
  Matrix<double> k(41, 16), v(41, 24);
  k << in.memory_k, in.k;
  v << in.memory_v, in.v;
  Mask mask(40, 41);
  mask << Mask::Constant(40, 1, true), causal_mask(40, 40);
  CHECK(rms_ratio(routing_attention_by_gather(in, {16, 16}), attention(in.q, k, v, mask).output) < 1e-12);

  const RoutingInputs<double> few = routing_inputs(40, 2, 5);
  const Matrix<double> output = routing_attention(few);
  Index routed = 0;
  for (Index t = 0; t < 40; ++t) routed += output.row(t).isZero(0) ? 0 : 1;
  CHECK(routed <= 10);
  CHECK(routed >= 5);
}

TEST_CASE("clusters take the tokens nearest to their centroid, each token compared with all: 2 T clusters d FLOP") {
  Matrix<double> x(4, 2), centroids(2, 2);
  x << 5, 1, 1, 5, 1, 0, 0, 2;
  centroids << 1, 0, 0, 1;
  const auto members = cluster_members(x, centroids, 2);
  CHECK(members[0] == std::vector<Index>{0, 2});
  CHECK(members[1] == std::vector<Index>{1, 3});
  const Matrix<Counted> unit = x.cast<Counted>(), c = centroids.cast<Counted>();
  Counted::reset();
  (void)cluster_similarity(unit, c);
  CHECK(Counted::counts().flops() == 2 * 4 * 2 * 2);
}

TEST_CASE("centroids follow the mean of their tokens, keep unit length, and stay without tokens") {
  Matrix<double> x(3, 2), centroids(2, 2);
  x << 2, 0, 3, 4, 1, 0;  // normalised: (1, 0), (0.6, 0.8), (1, 0)
  centroids << 0.8, 0.6, -1, 0;
  const Matrix<double> updated = update_centroids(centroids, x, 0.9);
  const Eigen::RowVector2d mean(2.6 / 3, 0.8 / 3), moved = 0.9 * centroids.row(0) + 0.1 * mean;
  CHECK(rms_ratio(updated.row(0), (moved / moved.norm()).eval()) < 1e-14);
  CHECK(updated.row(1) == centroids.row(1));
}

TEST_CASE("Cluster-Former by segments equals the same mask dense; one segment is full attention") {
  for (const Index tokens : {Index(1), Index(64), Index(75)}) {
    SeededValues values(5);
    const Matrix<double> hidden = values.matrix(tokens, 16), centroids = values.matrix(6, 16);
    const Matrix<double> q = values.matrix(tokens, 16), k = values.matrix(tokens, 16), v = values.matrix(tokens, 24);
    const std::vector<Index> order = sorted_by_cluster(hidden, centroids);
    CHECK(sorted_by_cluster<float>(f(hidden), f(centroids)) == order);
    for (const Index segment : {1, 16, 100}) {
      CAPTURE(tokens, segment);
      const Matrix<double> expected = cluster_former_attention(q, k, v, order, segment);
      CHECK(rms_ratio(cluster_former_by_segments(q, k, v, order, segment, {8, 8}), expected) < 1e-12);
      CHECK(rms_ratio(cluster_former_by_segments<float>(f(q), f(k), f(v), order, segment, {8, 8}), expected) < 5e-6);
      if (segment == 100) {
        CHECK(rms_ratio(expected, attention(q, k, v, full_mask(tokens, tokens)).output) < 1e-12);
      }
    }
  }
  Matrix<double> hidden(4, 2), centroids(2, 2);
  hidden << 0, 1, 1, 0, 0, 2, 3, 0;
  centroids << 1, 0, 0, 1;
  CHECK(sorted_by_cluster(hidden, centroids) == std::vector<Index>{1, 3, 0, 2});
}
