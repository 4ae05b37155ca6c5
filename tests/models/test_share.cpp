// SPDX-License-Identifier: Apache-2.0
// The share of one rank: over all ranks together the parameters, FLOPs and caches of the whole model, and what the
// ranks have alike besides; the collectives of the textbook.
#include <algorithm>
#include <map>
#include <set>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/families/share.h"
#include "models/families/training_graph.h"
#include "models/load.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

Share over(std::uint64_t tensor, bool sequence_parallel = false, std::uint64_t expert = 1) {
  return {tensor, sequence_parallel, expert};
}

PhaseShape prefill(std::uint64_t batch, std::uint64_t tokens) {
  PhaseShape shape;
  shape.batch = batch;
  shape.tokens = tokens;
  return shape;
}

struct Traffic {
  std::uint64_t count = 0, elements = 0;
};

// Collectives of a pass by kind, repeats counted.
std::map<std::string, Traffic> traffic(const Graph& graph, const std::set<std::string>& leave_out = {}) {
  std::map<std::string, Traffic> out;
  for (const Section& section : graph.sections) {
    for (const Node& node : section.in_order()) {
      const auto* op = std::get_if<Communication>(&node.op);
      if (op == nullptr || leave_out.count(node.name) > 0) continue;
      Traffic& one = out[std::string(name(op->kind))];
      one.count += section.repeat();
      one.elements += section.repeat() * op->elements;
    }
  }
  return out;
}

std::uint64_t padded(const ModelSpec& model, std::uint64_t ranks) {
  return (model.vocabulary + ranks - 1) / ranks * ranks;
}

// Vocabulary as many ranks divide it, so that padding drops out of the sums.
ModelSpec even(ModelSpec model, std::uint64_t ranks) {
  model.vocabulary = padded(model, ranks);
  return model;
}

bool divides(const ModelSpec& model, const Share& share) { return share_faults(model, share).empty(); }

// A size whose share is `divided` / ranks + `alike` has ranks x share - whole = (ranks - 1) x alike.
std::int64_t alike(std::uint64_t share, std::uint64_t whole, std::uint64_t ranks) {
  const auto excess = static_cast<std::int64_t>(ranks * share) - static_cast<std::int64_t>(whole);
  REQUIRE(excess >= 0);
  REQUIRE(excess % static_cast<std::int64_t>(ranks - 1) == 0);
  return excess / static_cast<std::int64_t>(ranks - 1);
}

// KV heads or groups fewer than the ranks are on several of them: their parameters are neither divided nor alike.
bool repeats(const ModelSpec& model, std::uint64_t ranks) {
  const auto of = [&](const auto& mixer) {
    using M = std::decay_t<decltype(mixer)>;
    if constexpr (std::is_same_v<M, AttentionMixer>) return mixer.kv_heads < ranks;
    if constexpr (std::is_same_v<M, Mamba2Mixer> || std::is_same_v<M, Mamba3Mixer>) return mixer.groups < ranks;
    if constexpr (std::is_same_v<M, LinearMixer>) return mixer.kv_heads != 0 && mixer.kv_heads < ranks;
    return false;
  };
  return std::any_of(model.blocks.begin(), model.blocks.end(), [&](const Block& block) {
    if (const auto* parallel = std::get_if<ParallelMixer>(&block.mixer)) {
      return std::any_of(parallel->parts.begin(), parallel->parts.end(),
                         [&](const SingleMixer& part) { return std::visit(of, part); });
    }
    return std::visit(of, block.mixer);
  });
}

}  // namespace

TEST_CASE("zoo: over 2, 4 and 8 ranks parameters and FLOPs sum to the whole model's and what all ranks have alike") {
  std::set<std::string> refused{"s4_wikitext103", "h3_125m", "hyena_small", "rwkv4_pile_14b"};
  std::size_t compared = 0;
  for (const std::string& name : list_models()) {
    const ModelSpec model = even(load_model(name), 8);
    INFO(name);
    if (refused.erase(name) > 0) {
      REQUIRE_THROWS_WITH(share_of(model, over(2)), Catch::Contains("cannot be divided over tensor ranks"));
      continue;
    }
    std::optional<std::int64_t> parameters, flops;
    const PhaseShape shape =
        prefill(1, std::min<std::uint64_t>(512, model.max_positions == 0 ? 512 : model.max_positions));
    for (const std::uint64_t ranks : {2, 4, 8}) {
      if (!divides(model, over(ranks)) || repeats(model, ranks)) continue;
      INFO(ranks << " ranks");
      const ModelSpec share = share_of(model, over(ranks));
      const std::int64_t same = alike(parameter_count(share), parameter_count(model), ranks);
      if (!parameters) parameters = same;
      CHECK(same == *parameters);
      CHECK(static_cast<std::uint64_t>(same) < parameter_count(model) / 2);
      const std::int64_t work = alike(total_cost(build_prefill(share, shape)).matrix_flops.count(),
                                      total_cost(build_prefill(model, shape)).matrix_flops.count(), ranks);
      if (!flops) flops = work;
      CHECK(work == *flops);
      ++compared;
    }
  }
  REQUIRE(refused.empty());
  REQUIRE(compared > 120);
}

TEST_CASE("what ranks have alike, by formula") {
  const auto same = [](const ModelSpec& model, std::uint64_t ranks) {
    return static_cast<std::uint64_t>(
        alike(parameter_count(share_of(model, over(ranks))), parameter_count(model), ranks));
  };
  const auto layers = [](const ModelSpec& model) { return model.blocks.at(0).layers; };
  const ModelSpec llama = load_model("llama3_1_70b");
  REQUIRE(same(llama, 8) == (2 * 80 + 1) * 8192);             // norms
  const ModelSpec deepseek = load_model("deepseek_v2_lite");  // latents, router, norms; all of 2048
  const auto& mla = std::get<MlaMixer>(deepseek.blocks.at(0).mixer);
  std::uint64_t expected = 2048;
  for (const Block& block : deepseek.blocks) {
    const auto* moe = std::get_if<MoeMlp>(&block.mlp);
    expected += block.layers * (2048 * (mla.kv_rank + mla.rope_dim) + mla.kv_rank + 2 * 2048 +
                                (moe == nullptr ? 0 : 2048 * moe->experts));
  }
  REQUIRE(same(deepseek, 4) == expected);
  const ModelSpec mamba = load_model("codestral_mamba_7b");  // eight groups
  REQUIRE(same(even(mamba, 8), 8) == (layers(mamba) + 1) * mamba.d_model);
}

TEST_CASE("KV heads that are fewer than the ranks are on several of them, the cache with them") {
  const ModelSpec model = load_model("llama3_1_70b");  // 8 KV heads
  const auto cache = [](const ModelSpec& m) { return kv_bytes(m, 4096, NumberFormat::bf16).count(); };
  for (const std::uint64_t ranks : {2, 4, 8}) REQUIRE(ranks * cache(share_of(model, over(ranks))) == cache(model));
  REQUIRE(16 * cache(share_of(model, over(16))) == 2 * cache(model));
  const auto& attention = std::get<AttentionMixer>(share_of(model, over(16)).blocks.at(0).mixer);
  REQUIRE(attention.heads == 4);
  REQUIRE(attention.kv_heads == 1);
  // Latents are on every rank.
  const ModelSpec mla = load_model("deepseek_v3");
  REQUIRE(cache(share_of(mla, over(8))) == cache(mla));
}

TEST_CASE("recurrent states divide by heads and channels; convolution inputs with them") {
  for (const char* name : {"mamba_1_4b", "gla_1_3b", "recurrentgemma_9b", "retnet_6_7b"}) {
    INFO(name);
    const ModelSpec model = load_model(name);
    if (!divides(model, over(4))) continue;
    const auto state = [](const ModelSpec& m) { return state_bytes(m, NumberFormat::fp32).count(); };
    REQUIRE(4 * state(share_of(model, over(4))) == state(model));
  }
}

TEST_CASE("a dense layer has two all-reduces of tokens x d_model (Shoeybi et al. 2019)") {
  const ModelSpec model = load_model("llama3_1_70b");
  const std::uint64_t batch = 3, tokens = 512, stream = batch * tokens * 8192;
  const ModelSpec share = share_of(model, over(8));
  auto all = traffic(build_prefill(share, prefill(batch, tokens)), {"embedding_sum", "logits"});
  REQUIRE(all.size() == 1);
  REQUIRE(all["all_reduce"].count == 2 * 80);
  REQUIRE(all["all_reduce"].elements == 2 * 80 * stream);
  all = traffic(build_prefill(share, prefill(batch, tokens)));
  REQUIRE(all["all_reduce"].count == 2 * 80 + 1);
  REQUIRE(all["all_gather"].elements == batch * padded(model, 8));
  REQUIRE(traffic(build_prefill(model, prefill(batch, tokens))).empty());
}

TEST_CASE("with sequence parallelism gathers and scattered sums carry the same stream, norms a part of the tokens") {
  const ModelSpec model = load_model("llama3_1_8b");
  const std::uint64_t tokens = 512, stream = tokens * 4096;
  const Graph graph = build_prefill(share_of(model, over(4, true)), prefill(1, tokens));
  auto all = traffic(graph, {"embedding_sum", "logits"});
  REQUIRE(all["all_gather"].elements == 2 * 32 * stream);
  REQUIRE(all["reduce_scatter"].elements == 2 * 32 * stream);
  REQUIRE(all.count("all_reduce") == 0);
  REQUIRE(all["broadcast"].elements == 4096);  // the last token, for the head
  for (const Node& node : graph.sections.at(1).in_order()) {
    if (const auto* norm = std::get_if<Norm>(&node.op)) REQUIRE(norm->rows == tokens / 4);
  }
}

TEST_CASE("experts over ranks with tokens of their own exchange each choice twice a layer") {
  const ModelSpec model = load_model("mixtral_8x7b");
  const std::uint64_t tokens = 256;
  const ModelSpec share = share_of(model, over(1, false, 8));
  auto all = traffic(build_prefill(share, prefill(1, tokens)));
  REQUIRE(all.size() == 1);
  REQUIRE(all["all_to_all"].count == 2 * 32);
  REQUIRE(all["all_to_all"].elements == 2 * 32 * tokens * 2 * 4096);
  // One expert each: the rows of all ranks' tokens for it are as many as one rank's choices.
  const auto flops = [&](const ModelSpec& m) { return total_cost(build_prefill(m, prefill(1, tokens))).matrix_flops; };
  REQUIRE(flops(share) == flops(model));  // of 8 ranks with as many tokens each
  const std::uint64_t experts = 32ull * 8 * 3 * 4096 * 14336;
  REQUIRE(parameter_count(share) == parameter_count(model) - experts + experts / 8);
}

TEST_CASE("experts over tensor ranks that have the same tokens: a sum behind them, no exchange") {
  const ModelSpec model = load_model("mixtral_8x7b");
  const auto of = [&](std::uint64_t tensor, bool sequence_parallel, std::uint64_t expert) {
    return traffic(build_prefill(share_of(model, over(tensor, sequence_parallel, expert)), prefill(1, 256)),
                   {"embedding_sum", "logits"});
  };
  auto same = of(8, false, 8);
  REQUIRE(same.size() == 1);
  REQUIRE(same["all_reduce"].count == 2 * 32);
  auto mixed = of(8, false, 2);  // experts in halves of the ranks, each expert over four
  REQUIRE(mixed["all_reduce"].count == 2 * 32);
  auto apart = of(8, true, 8);  // each rank sends its part of the tokens
  REQUIRE(apart["all_to_all"].elements == 2 * 32 * (256 / 8) * 2 * 4096);
  REQUIRE(apart["all_gather"].count == 32);  // of attention
  const auto parameters = [&](std::uint64_t expert) {
    return parameter_count(share_of(model, over(8, false, expert)));
  };
  REQUIRE(parameters(8) == parameters(1));
  REQUIRE(parameters(2) == parameters(1));
}

TEST_CASE("context ranks: equal work by two blocks of queries or by heads, with K and V or all heads exchanged") {
  const ModelSpec model = load_model("llama3_1_8b");
  const std::uint64_t tokens = 4096, ranks = 8, layers = 32;
  const auto share = [&](bool by_heads) {
    Share s;
    s.context = ranks;
    s.context_by_heads = by_heads;
    return share_of(model, s);
  };
  const auto attention_flops = [](const Graph& graph) {
    std::uint64_t flops = 0;
    for (const Node& node : graph.sections.at(1).in_order()) {
      if (std::holds_alternative<Attention>(node.op)) flops += cost(node.op).matrix_flops.count();
    }
    return flops;
  };
  const Graph whole = build_prefill(model, prefill(1, tokens));
  const Graph gathered = build_prefill(share(false), prefill(1, tokens));
  const Graph by_heads = build_prefill(share(true), prefill(1, tokens));
  REQUIRE(ranks * attention_flops(gathered) == attention_flops(whole));
  REQUIRE(ranks * attention_flops(by_heads) == attention_flops(whole));
  auto kv = traffic(gathered);
  REQUIRE(kv.size() == 1);
  REQUIRE(kv["all_gather"].elements == layers * tokens * 2 * 8 * 128);
  auto heads = traffic(by_heads);
  REQUIRE(heads.size() == 1);
  REQUIRE(heads["all_to_all"].count == 2 * layers);
  REQUIRE(heads["all_to_all"].elements == layers * (tokens / ranks) * (32 + 2 * 8 + 32) * 128);
  REQUIRE(ranks * kv_bytes(share(true), tokens, NumberFormat::bf16).count() ==
          kv_bytes(model, tokens, NumberFormat::bf16).count());
  REQUIRE_THROWS_AS(build_prefill(share(false), prefill(1, tokens + 8)), ConfigError);
  Share two;
  two.context = 2;
  REQUIRE_THROWS_WITH(share_of(load_model("mamba2_1_3b"), two), Catch::Contains("context must be 1"));
}

TEST_CASE("in training the backward sums once more for every matrix divided by columns, and the loss three numbers") {
  const ModelSpec share = share_of(load_model("llama3_1_8b"), over(4));
  TrainingShape shape;
  shape.tokens = 128;
  std::map<std::string, std::uint64_t> sums;  // by phase
  for (const TrainingSection& section : build_training(share, shape).sections) {
    if (section.name.find("layers") != 0) continue;
    for (const TrainingNode& entry : section.nodes) {
      const auto* op = std::get_if<Communication>(&entry.node.op);
      if (op == nullptr) continue;
      REQUIRE(op->kind == CollectiveKind::all_reduce);
      REQUIRE(op->elements == 128 * 4096);
      sums[std::string(name(entry.phase))] += section.repeat;
    }
  }
  REQUIRE(sums["forward"] == 2 * 32);
  REQUIRE(sums["backward"] == 2 * 32);
  auto loss = traffic(build_prefill(share,
                                    [] {
                                      PhaseShape s = prefill(1, 128);
                                      s.training = true;
                                      return s;
                                    }()),
                      {"mixer_sum", "mlp_sum", "embedding_sum"});
  REQUIRE(loss.size() == 1);
  REQUIRE(loss["all_reduce"].count == 3);
  REQUIRE(loss["all_reduce"].elements == 3 * 128);
}

TEST_CASE("sequence parallelism divides the saved activations of a layer (Korthikanti et al. 2022, equation 4)") {
  const ModelSpec model = load_model("llama2_7b");
  TrainingShape shape;
  shape.tokens = 2048;
  const auto saved = [&](const Share& share) {
    return build_training(share_of(model, share), shape).memory.activations.real();
  };
  const double whole = saved(over(1));
  CHECK(saved(over(4)) > 0.25 * whole);
  CHECK(saved(over(4, true)) == Approx(0.25 * whole).epsilon(0.01));
}

TEST_CASE("a division that a model does not allow is refused with the rule and the nearest numbers") {
  const auto refusal = [](const char* model, const Share& share) {
    std::string text;
    for (const std::string& fault : share_faults(load_model(model), share)) text += fault + "\n";
    return text;
  };
  using Catch::Contains;
  REQUIRE_THAT(refusal("llama3_1_8b", over(3)), Contains("tensor 3 does not divide 32 heads; nearest: 2 or 4"));
  REQUIRE_THAT(refusal("mixtral_8x7b", over(1, false, 3)),
               Contains("expert 3 does not divide 8 experts; nearest: 2 or 4"));
  REQUIRE_THAT(refusal("llama3_1_8b", over(1, false, 2)), Contains("the model has no experts"));
  REQUIRE_THAT(refusal("llama3_1_8b", over(1, true)), Contains("sequence_parallel needs tensor above 1"));
  REQUIRE_THAT(refusal("mixtral_8x7b", over(2, false, 8)), Contains("needs sequence_parallel"));
  REQUIRE_THAT(refusal("nsa_27b", over(8)), Contains("must be on one rank"));
  REQUIRE_THAT(refusal("codestral_mamba_7b", over(3)), Contains("groups of B and C"));
  REQUIRE(refusal("llama3_1_70b", over(8)).empty());
  REQUIRE_THROWS_AS(share_of(load_model("llama3_1_8b"), over(3)), ConfigError);
  REQUIRE(nearest_divisors(12, 5) == "4 or 6");
  REQUIRE(nearest_divisors(12, 100) == "12");
}
