// SPDX-License-Identifier: Apache-2.0
// Who attends to whom, and who goes where: LSH buckets of the Reformer with their sort, k-means routing of the Routing
// Transformer, and the router of a mixture of experts.
#pragma once

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/reduce.h"

namespace lightcone::models::cuda {

// ---- LSH: bucket of every token in every round, then tokens by (round, bucket, time)
// --------------------------------------

struct LshHashParams {
  const float* x;                   // [tokens, dim]
  const float* rotation;            // [rounds, dim, buckets / 2]
  std::uint32_t *keys, *tokens_of;  // [rounds, tokens]: round * buckets + bucket; the token
  int tokens, dim, buckets;
};
// One warp per token and round; lanes share the directions.
struct LshHash {
  using Params = LshHashParams;
  static constexpr int kThreads = 128, kWarps = kThreads / 32;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int token = block.x() * kWarps + block.warp(), round = block.y(), half = p.buckets / 2;
    const int row = smaller(token, p.tokens - 1);
    float best = -infinity();
    int bucket = p.buckets;
    for (int b = block.lane(); b < half; b += 32) {
      float product = 0;
      for (int i = 0; i < p.dim; ++i) {
        product += p.x[static_cast<std::int64_t>(row) * p.dim + i] *
                   p.rotation[(static_cast<std::int64_t>(round) * p.dim + i) * half + b];
      }
      for (const int sign : {1, -1}) {
        const float value = sign > 0 ? product : -product;
        const int candidate = sign > 0 ? b : b + half;
        if (value > best || (value == best && candidate < bucket)) {
          best = value;
          bucket = candidate;
        }
      }
    }
    LIGHTCONE_UNROLL for (int mask = 16; mask > 0; mask /= 2) {
      const float other = block.shuffle_xor(best, mask);
      const int candidate = block.shuffle_xor(bucket, mask);
      if (other > best || (other == best && candidate < bucket)) {
        best = other;
        bucket = candidate;
      }
    }
    if (block.lane() != 0 || token >= p.tokens) return;
    const std::int64_t at = static_cast<std::int64_t>(round) * p.tokens + token;
    p.keys[at] = static_cast<std::uint32_t>(round * p.buckets + bucket);
    p.tokens_of[at] = static_cast<std::uint32_t>(token);
  }
};

// x [tokens, dim], rotation [rounds, dim, buckets / 2] -> sorted round * buckets + bucket, and tokens, [rounds,
// tokens].
template <class Run>
void lsh_hash_sort(Run& run, const Arguments& args) {
  const int tokens = args.size("tokens"), rounds = args.size("rounds"), buckets = args.size("buckets");
  const auto count = static_cast<std::size_t>(tokens * rounds);
  auto* keys = run.template scratch<std::uint32_t>(count);
  auto* values = run.template scratch<std::uint32_t>(count);
  run.template launch<LshHash>(
      {ceil_div(tokens, LshHash::kWarps), rounds},
      {args.input<float>(0), args.input<float>(1), keys, values, tokens, args.size("dim"), buckets});
  int bits = 1;
  while ((1 << bits) < rounds * buckets) ++bits;
  run.sort_pairs(keys, args.output<std::uint32_t>(0), values, args.output<std::uint32_t>(1), tokens * rounds, bits);
}

// ---- k-means routing: the `window` tokens nearest to each centroid
// --------------------------------------------------------

struct KmeansParams {
  const float *x, *centroids;  // [tokens, dim], [clusters, dim]
  int* members;                // [clusters, window], ascending
  int tokens, dim, window;
};
// One CTA per cluster: similarities into shared memory, a bitonic sort by similarity, one of the first by index.
struct KmeansMembers {
  using Params = KmeansParams;
  static constexpr int kThreads = 256, kMostTokens = 4096;
  struct Shared {
    float similarity[kMostTokens];
    int token[kMostTokens];
  };

  // Ascending by `before(i, j)`: whether the entry at i belongs before the one at j. `count`: a power of two.
  template <class Block, class Before>
  LIGHTCONE_DEVICE static void sort(Block& block, Shared& s, int count, const Before& before) {
    for (int size = 2; size <= count; size *= 2) {
      for (int distance = size / 2; distance > 0; distance /= 2) {
        for (int i = block.thread(); i < count; i += kThreads) {
          const int j = i ^ distance;
          if (j <= i) continue;
          const bool ascending = (i & size) == 0;
          if (ascending ? before(j, i) : before(i, j)) {
            const float value = s.similarity[i];
            const int token = s.token[i];
            s.similarity[i] = s.similarity[j];
            s.token[i] = s.token[j];
            s.similarity[j] = value;
            s.token[j] = token;
          }
        }
        block.sync();
      }
    }
  }

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    Shared& s = block.template shared<Shared>();
    const int cluster = block.x(), lane = block.lane();
    int count = 1;
    while (count < p.tokens) count *= 2;
    // 1. Products of the normalised tokens with the centroid, a warp per token; fillers come last.
    for (int t = block.warp(); t < count; t += kThreads / 32) {
      float product = 0, squares = 0;
      for (int i = lane; i < p.dim && t < p.tokens; i += 32) {
        const float x = p.x[static_cast<std::int64_t>(t) * p.dim + i];
        product += x * p.centroids[static_cast<std::int64_t>(cluster) * p.dim + i];
        squares += x * x;
      }
      product = over_warp<Add>(block, product);
      squares = over_warp<Add>(block, squares);
      if (lane == 0) {
        s.similarity[t] = t < p.tokens ? product / sqrtf(squares) : -infinity();
        s.token[t] = t;
      }
    }
    block.sync();
    // 2. The largest first, ties by index; then those of the window by index.
    sort(block, s, count, [&](int i, int j) {
      return s.similarity[i] > s.similarity[j] || (s.similarity[i] == s.similarity[j] && s.token[i] < s.token[j]);
    });
    int window = 1;
    while (window < p.window) window *= 2;
    for (int i = p.window + block.thread(); i < window; i += kThreads) s.token[i] = p.tokens;  // behind all others
    block.sync();
    sort(block, s, window, [&](int i, int j) { return s.token[i] < s.token[j]; });
    for (int i = block.thread(); i < p.window; i += kThreads) p.members[cluster * p.window + i] = s.token[i];
  }
};

// x [tokens, dim], centroids [clusters, dim] -> members [clusters, window]. At most 4096 tokens.
template <class Run>
void kmeans_routing(Run& run, const Arguments& args) {
  if (args.size("tokens") > KmeansMembers::kMostTokens)
    throw std::invalid_argument("k-means routing: at most 4096 tokens");
  run.template launch<KmeansMembers>(
      {args.size("clusters")}, {args.input<float>(0), args.input<float>(1), args.output<int>(0), args.size("tokens"),
                                args.size("dim"), args.size("window")});
}

// ---- Router: softmax over the experts, the k best, their gates normalised
// --------------------------------------------------

struct RouterParams {
  const float* logits;  // [tokens, experts]
  int* chosen;          // [tokens, k], best first
  float* gates;         // the same
  int tokens, experts, k;
};
// One warp per token, the experts dealt to its lanes; k times the largest of what is left.
struct TopKRouter {
  using Params = RouterParams;
  static constexpr int kThreads = 128, kWarps = kThreads / 32, kPerLane = 16, kMostExperts = 32 * kPerLane, kMostK = 16;
  struct Shared {};

  template <class Block>
  LIGHTCONE_DEVICE static void run(Block& block, const Params& p) {
    const int token = block.x() * kWarps + block.warp(), row = smaller(token, p.tokens - 1), lane = block.lane();
    float logit[kPerLane], largest = -infinity();
    LIGHTCONE_UNROLL for (int i = 0; i < kPerLane; ++i) {
      const int expert = i * 32 + lane;
      logit[i] = expert < p.experts ? p.logits[static_cast<std::int64_t>(row) * p.experts + expert] : -infinity();
      largest = max_of(largest, logit[i]);
    }
    largest = over_warp<Largest>(block, largest);
    float gates[kMostK], chosen_sum = 0;
    for (int n = 0; n < p.k; ++n) {
      float best = -infinity();
      int expert = p.experts;
      LIGHTCONE_UNROLL for (int i = 0; i < kPerLane; ++i) {
        if (logit[i] > best) {  // of equals the first stays
          best = logit[i];
          expert = i * 32 + lane;
        }
      }
      LIGHTCONE_UNROLL for (int mask = 16; mask > 0; mask /= 2) {
        const float other = block.shuffle_xor(best, mask);
        const int candidate = block.shuffle_xor(expert, mask);
        if (other > best || (other == best && candidate < expert)) {
          best = other;
          expert = candidate;
        }
      }
      LIGHTCONE_UNROLL for (int i = 0; i < kPerLane; ++i) {
        if (i * 32 + lane == expert) logit[i] = -infinity();
      }
      gates[n] = expf(best - largest);
      chosen_sum += gates[n];
      if (lane == 0 && token < p.tokens) p.chosen[static_cast<std::int64_t>(token) * p.k + n] = expert;
    }
    // The softmax's own denominator falls out when the gates are normalised.
    for (int n = 0; n < p.k && lane == 0 && token < p.tokens; ++n) {
      p.gates[static_cast<std::int64_t>(token) * p.k + n] = gates[n] / chosen_sum;
    }
  }
};

// logits [tokens, experts] -> experts, gates [tokens, k]. At most 512 experts and k of 16.
template <class Run>
void top_k_router(Run& run, const Arguments& args) {
  if (args.size("experts") > TopKRouter::kMostExperts || args.size("k") > TopKRouter::kMostK) {
    throw std::invalid_argument("router: at most 512 experts, of which 16 are chosen");
  }
  run.template launch<TopKRouter>({ceil_div(args.size("tokens"), TopKRouter::kWarps)},
                                  {args.input<float>(0), args.output<int>(0), args.output<float>(1),
                                   args.size("tokens"), args.size("experts"), args.size("k")});
}

}  // namespace lightcone::models::cuda
