// SPDX-License-Identifier: Apache-2.0
// LSH attention of the Reformer (Kitaev et al. 2020; details of lucidrains/reformer-pytorch): one matrix is query and,
// normalised, key. Each round hashes the tokens into buckets, sorts them by (bucket, time), cuts the sorted list of all
// rounds into chunks, and attends from each chunk to itself and the chunk before (around the end). A token attends to
// itself only when nothing else is there. Rounds merge by their log-sum-exp. The duplicate correction here counts every
// slot in which a query meets a key; the published code misses those that meet across the border of two rounds.
#pragma once

#include <numeric>
#include <stdexcept>

#include "models/reference/flash_attention.h"

namespace lightcone::models::reference {

inline constexpr double kSelfScore = -5e4;  // of a token with itself, TOKEN_SELF_ATTN_VALUE

struct LshOptions {
  Index chunk = 64;  // divides the number of tokens
  bool causal = true;
  bool own_bucket_only = false;     // mask pairs of different buckets
  bool correct_duplicates = false;  // each pair counts once over all rounds
};

// Bucket of each token: argmax of [x R ; -x R] for the random rotation R[d, buckets / 2] of one round (angular LSH).
template <class Number>
std::vector<Index> lsh_buckets(const Matrix<Number>& x, const Matrix<Number>& rotation) {
  std::vector<Index> buckets;
  for (Index t = 0; t < x.rows(); ++t) {
    Vector<Number> both(2 * rotation.cols());
    for (Index b = 0; b < rotation.cols(); ++b) {
      both(b) = dot(x.row(t), rotation.col(b));
      both(b + rotation.cols()) = -both(b);
    }
    Index best = 0;
    for (Index b = 1; b < both.size(); ++b) {
      if (both(b) > both(best)) best = b;
    }
    buckets.push_back(best);
  }
  return buckets;
}

// A token in the sorted list of all rounds.
struct LshSlot {
  Index round, bucket, token;
};

// All rounds one after the other, each by bucket and then by time.
inline std::vector<LshSlot> lsh_sorted(const std::vector<std::vector<Index>>& buckets) {
  std::vector<LshSlot> slots;
  for (std::size_t r = 0; r < buckets.size(); ++r) {
    for (std::size_t t = 0; t < buckets[r].size(); ++t) {
      slots.push_back({static_cast<Index>(r), buckets[r][t], static_cast<Index>(t)});
    }
  }
  std::stable_sort(slots.begin(), slots.end(), [](const LshSlot& a, const LshSlot& b) {
    return std::pair(a.round, a.bucket) < std::pair(b.round, b.bucket);
  });
  return slots;
}

// Whether the masks let `query` see `key`, of its own chunk or the one before.
inline bool lsh_allowed(const LshSlot& query, const LshSlot& key, const LshOptions& options) {
  if (options.causal && key.token > query.token) return false;
  return !options.own_bucket_only || (key.bucket == query.bucket && key.round == query.round);
}

template <class Number>
Matrix<Number> lsh_keys(const Matrix<Number>& qk) {
  return qk.rowwise().normalized();
}

// How often each query meets each key over all rounds, [T, T], by walking over all pairs of slots.
inline Matrix<double> lsh_meetings(const std::vector<LshSlot>& slots, Index tokens, const LshOptions& options) {
  const Index chunks = std::ssize(slots) / options.chunk;
  Matrix<double> meetings = Matrix<double>::Zero(tokens, tokens);
  for (Index a = 0; a < std::ssize(slots); ++a) {
    for (Index b = 0; b < std::ssize(slots); ++b) {
      const Index ca = a / options.chunk, cb = b / options.chunk;
      const LshSlot &query = slots[static_cast<std::size_t>(a)], &key = slots[static_cast<std::size_t>(b)];
      if (!lsh_allowed(query, key, options)) continue;
      meetings(query.token, key.token) += (cb == ca ? 1 : 0) + (cb == (ca + chunks - 1) % chunks ? 1 : 0);
    }
  }
  return meetings;
}

// By definition: one dense softmax in which a pair counts as often as it meets, or once with the correction.
// qk[T, d], v[T, dv], buckets[rounds][T].
inline Matrix<double> lsh_attention(const Matrix<double>& qk, const Matrix<double>& v,
                                    const std::vector<std::vector<Index>>& buckets, const LshOptions& options) {
  const Matrix<double> meetings = lsh_meetings(lsh_sorted(buckets), qk.rows(), options);
  Matrix<double> scores = attention_scores(qk, lsh_keys(qk), Mask(meetings.array() > 0));
  for (Index i = 0; i < scores.rows(); ++i) {
    if (meetings(i, i) > 0) scores(i, i) = kSelfScore;
  }
  if (!options.correct_duplicates) scores.array() += meetings.array().log();
  return attend(scores, v).output;
}

// As kernels: hash, sort, gather, attend chunk by chunk, undo the sort, merge the rounds.
template <class Number>
Matrix<Number> lsh_attention_by_chunks(const Matrix<Number>& qk, const Matrix<Number>& v,
                                       const std::vector<std::vector<Index>>& buckets, const LshOptions& options) {
  using std::log;
  const Index tokens = qk.rows(), chunk = options.chunk, rounds = std::ssize(buckets);
  if (tokens % chunk != 0) throw std::invalid_argument("lsh attention: the chunk must divide the number of tokens");
  const std::vector<LshSlot> slots = lsh_sorted(buckets);
  const Index total = std::ssize(slots), chunks = total / chunk;
  const Matrix<Number> keys = lsh_keys(qk);

  // Where each token lies in the sorted list, round by round: the duplicates of a pair are found from these alone.
  std::vector<std::vector<Index>> slot_of(buckets.size(), std::vector<Index>(static_cast<std::size_t>(tokens)));
  for (Index s = 0; s < total; ++s) {
    const LshSlot& slot = slots[static_cast<std::size_t>(s)];
    slot_of[static_cast<std::size_t>(slot.round)][static_cast<std::size_t>(slot.token)] = s;
  }
  const auto meetings = [&](Index i, Index j) {
    Index count = 0;
    for (const auto& of_query : slot_of) {
      for (const auto& of_key : slot_of) {
        const Index a = of_query[static_cast<std::size_t>(i)], b = of_key[static_cast<std::size_t>(j)];
        if (!lsh_allowed(slots[static_cast<std::size_t>(a)], slots[static_cast<std::size_t>(b)], options)) continue;
        count += (a / chunk == b / chunk) + (b / chunk == (a / chunk + chunks - 1) % chunks);
      }
    }
    return static_cast<Number>(static_cast<double>(count));
  };

  std::vector<Attended<Number>> by_round(static_cast<std::size_t>(rounds),
                                         {Matrix<Number>(tokens, v.cols()), Vector<Number>(tokens)});
  for (Index c = 0; c < chunks; ++c) {
    std::vector<Index> queries, near;  // tokens of this chunk; and of this and the one before
    std::vector<Index> near_slots(static_cast<std::size_t>(2 * chunk));
    std::iota(near_slots.begin(), near_slots.begin() + chunk, c * chunk);
    std::iota(near_slots.begin() + chunk, near_slots.end(), (c + chunks - 1) % chunks * chunk);
    for (const Index s : near_slots) near.push_back(slots[static_cast<std::size_t>(s)].token);
    queries.assign(near.begin(), near.begin() + chunk);

    const Matrix<Number> q = qk(queries, Eigen::all), k = keys(near, Eigen::all);
    const Mask mask = Mask::NullaryExpr(chunk, 2 * chunk, [&](Index i, Index j) {
      return lsh_allowed(slots[static_cast<std::size_t>(c * chunk + i)],
                         slots[static_cast<std::size_t>(near_slots[static_cast<std::size_t>(j)])], options);
    });
    Matrix<Number> scores = attention_scores(q, k, mask);
    for (Index i = 0; i < chunk; ++i) {
      for (Index j = 0; j < 2 * chunk; ++j) {
        if (!mask(i, j)) continue;
        const Index qt = queries[static_cast<std::size_t>(i)], kt = near[static_cast<std::size_t>(j)];
        if (qt == kt) scores(i, j) = static_cast<Number>(kSelfScore);
        if (options.correct_duplicates) scores(i, j) -= log(meetings(qt, kt));
      }
    }
    const Attended<Number> part = attend<Number>(scores, v(near, Eigen::all));
    Attended<Number>& round = by_round[static_cast<std::size_t>(slots[static_cast<std::size_t>(c * chunk)].round)];
    for (Index i = 0; i < chunk; ++i) {
      round.output.row(queries[static_cast<std::size_t>(i)]) = part.output.row(i);
      round.lse(queries[static_cast<std::size_t>(i)]) = part.lse(i);
    }
  }
  return merge_partials<Number>(by_round).output;
}

}  // namespace lightcone::models::reference
