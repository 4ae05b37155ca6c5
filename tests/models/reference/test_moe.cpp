// SPDX-License-Identifier: Apache-2.0
// Mixture of experts: routers, and the grouped and buffered forms against every expert on every token.
#include "models/reference/moe.h"

#include <set>

#include "catch.h"
#include "models/reference/counted.h"

using namespace lightcone::models::reference;

namespace {

std::vector<Expert<double>> experts_of(Index experts, Index d, Index f, ExpertKind kind = ExpertKind::swiglu) {
  SeededValues values(11);
  std::vector<Expert<double>> all;
  for (Index e = 0; e < experts; ++e) {
    Expert<double> expert{
        values.matrix(f, d, 0.5), values.matrix(f, d, 0.5), values.matrix(d, f, 0.5), {}, {}, {}, kind};
    if (kind == ExpertKind::gpt_oss) {
      expert.bias_gate = values.vector(f);
      expert.bias_up = values.vector(f);
      expert.bias_down = values.vector(d);
    }
    all.push_back(expert);
  }
  return all;
}

template <class To>
std::vector<Expert<To>> as(const std::vector<Expert<double>>& all) {
  std::vector<Expert<To>> result;
  for (const Expert<double>& e : all) {
    result.push_back({e.w_gate.cast<To>(), e.w_up.cast<To>(), e.w_down.cast<To>(), e.bias_gate.cast<To>(),
                      e.bias_up.cast<To>(), e.bias_down.cast<To>(), e.kind});
  }
  return result;
}

Routing<float> f(const Routing<double>& r) { return {r.experts, r.gates.cast<float>()}; }

}  // namespace

TEST_CASE("Mixtral's gate is the softmax of the chosen logits, equal to a renormalised softmax of all") {
  SeededValues values(1);
  const Matrix<double> logits = values.matrix(30, 8);
  const Routing<double> mixtral = route_top_k(logits, 2), qwen = route_softmax(logits, 2, true);
  CHECK(mixtral.experts == qwen.experts);
  CHECK(rms_ratio(mixtral.gates, qwen.gates) < 1e-14);
  CHECK(((mixtral.gates.rowwise().sum().array() - 1).abs() < 1e-14).all());
  CHECK((route_softmax(logits, 2, false).gates.rowwise().sum().array() < 1).all());
  CHECK((mixtral.gates.col(0).array() >= mixtral.gates.col(1).array()).all());
  for (Index t = 0; t < 30; ++t) {
    CHECK(logits(t, mixtral.experts[static_cast<std::size_t>(t)][0]) == logits.row(t).maxCoeff());
  }
}

TEST_CASE("equal logits go to the lowest experts") {
  const Routing<double> r = route_top_k<double>(Matrix<double>::Zero(1, 8), 3);
  CHECK(r.experts[0] == std::vector<Index>{0, 1, 2});
  CHECK(rms_ratio(r.gates, Matrix<double>::Constant(1, 3, 1.0 / 3)) < 1e-15);
}

TEST_CASE("DeepSeek-V3's gate: best groups only, bias selects but does not weigh") {
  const DeepseekGate gate{DeepseekScore::sigmoid, 4, 2, 3, 2.5};
  Matrix<double> logits(1, 8);
  logits << 3, -9, 2, 2, 1.9, 2.1, -9, -9;  // the best single expert is in group 0, whose second best is poor
  Routing<double> r = route_deepseek<double>(logits, Vector<double>::Zero(8), gate);
  CHECK(r.experts[0] == std::vector<Index>{5, 2, 3});
  CHECK(r.gates.sum() == Approx(2.5));
  const auto s = [](double x) { return 1 / (1 + std::exp(-x)); };
  CHECK(r.gates(0, 0) == Approx(2.5 * s(2.1) / (s(2.1) + 2 * s(2.0))));
  // A bias on expert 4 lets it in; its gate is that of its own score.
  Vector<double> bias = Vector<double>::Zero(8);
  bias(4) = 0.5;
  r = route_deepseek(logits, bias, gate);
  CHECK(r.experts[0] == std::vector<Index>{4, 5, 2});
  CHECK(r.gates(0, 0) == Approx(2.5 * s(1.9) / (s(1.9) + s(2.1) + s(2.0))));
}

TEST_CASE("DeepSeek-V2's gate: a group counts as its best expert, gates are probabilities") {
  Matrix<double> logits(1, 8);
  logits << 3, -9, 2, 2, 1.9, 2.1, -9, -9;
  const Routing<double> r =
      route_deepseek<double>(logits, Vector<double>::Zero(8), {DeepseekScore::softmax, 4, 2, 3, 16});
  CHECK(r.experts[0] == std::vector<Index>{0, 5, 4});
  CHECK(rms_ratio(r.gates, (16 * softmax<double>(logits.transpose())(r.experts[0])).transpose().eval()) < 1e-14);
}

TEST_CASE("with one group, and without a bias, DeepSeek-V3's experts are the plain top-k") {
  SeededValues values(2);
  const Matrix<double> logits = values.matrix(20, 16);
  CHECK(route_deepseek<double>(logits, Vector<double>::Zero(16), {DeepseekScore::sigmoid, 1, 1, 4, 1}).experts ==
        route_top_k(logits, 4).experts);
}

TEST_CASE("grouped experts equal every expert on every token") {
  for (const ExpertKind kind : {ExpertKind::swiglu, ExpertKind::gpt_oss}) {
    const std::vector<Expert<double>> experts = experts_of(6, 12, 20, kind);
    for (const auto& [tokens, k] : std::vector<std::pair<Index, Index>>{{1, 1}, {1, 6}, {33, 2}, {33, 4}}) {
      CAPTURE(tokens, k);
      SeededValues values(3);
      const Matrix<double> x = values.matrix(tokens, 12), w = values.matrix(6, 12);
      const Routing<double> routing = route_top_k(router_logits(x, w), k);
      const Matrix<double> expected = moe_output(x, routing, experts);
      CHECK(rms_ratio(moe_by_groups(x, routing, experts), expected) < 1e-12);
      CHECK(rms_ratio(moe_by_groups<float>(x.cast<float>(), f(routing), as<float>(experts)), expected) < 5e-6);
    }
  }
}

TEST_CASE("an expert that no token chose changes nothing") {
  std::vector<Expert<double>> experts = experts_of(4, 8, 8);
  const Matrix<double> x = SeededValues(4).matrix(5, 8);
  const Routing<double> routing{{{0, 2}, {0, 2}, {2, 0}, {0, 2}, {2, 0}}, Matrix<double>::Constant(5, 2, 0.5)};
  const Matrix<double> before = moe_by_groups(x, routing, experts);
  experts[1].w_down.setConstant(1e9);
  CHECK(moe_by_groups(x, routing, experts) == before);
  CHECK(rms_ratio(moe_output(x, routing, experts), before) < 1e-12);
}

TEST_CASE("gpt-oss clamps its gate and its linear part") {
  Expert<double> expert = experts_of(1, 2, 1, ExpertKind::gpt_oss)[0];
  expert.w_gate << 1, 0;
  expert.w_up << 0, 1;
  expert.w_down << 1, 0;
  expert.bias_gate.setZero();
  expert.bias_up.setZero();
  expert.bias_down.setZero();
  Matrix<double> x(3, 2);
  x << 100, 100, 7, 7, -100, -100;
  const Matrix<double> y = expert_output(x, expert);
  CHECK(y(0, 0) == Approx(7 / (1 + std::exp(-1.702 * 7)) * 8));
  CHECK(y(0, 0) == y(1, 0));
  CHECK(y(2, 0) == Approx(0).margin(1e-60));  // the gate has no lower clamp
}

TEST_CASE("buffers with capacity equal the definition with the dropped gates left out") {
  const std::vector<Expert<double>> experts = experts_of(4, 8, 12);
  SeededValues values(5);
  const Matrix<double> x = values.matrix(30, 8), w = values.matrix(4, 8);
  const Routing<double> routing = route_top_k(router_logits(x, w), 2);
  Index largest = 0;
  for (const auto& rows : rows_by_expert(routing, 4)) largest = std::max(largest, std::ssize(rows));
  for (const Index capacity : {Index(1), Index(7), largest - 1, largest, Index(60)}) {
    CAPTURE(capacity, largest);
    const Routing<double> kept = with_capacity(routing, 4, capacity);
    const Matrix<double> got = moe_by_buffers(x, routing, experts, capacity);
    CHECK(rms_ratio(got, moe_output(x, kept, experts)) < 1e-12);
    CHECK(rms_ratio(got, moe_by_groups(x, kept, experts)) < 1e-12);
    for (const auto& rows : rows_by_expert(kept, 4)) CHECK(std::ssize(rows) <= capacity);
    const double against_dropless = rms_ratio(got, moe_output(x, routing, experts));
    if (capacity >= largest) {
      CHECK(against_dropless < 1e-12);
    } else {
      CHECK(against_dropless > 1e-3);
    }
  }
  CHECK(expert_capacity(1.25, 30, 2, 4) == 19);
  CHECK(expert_capacity(1, 1, 1, 4) == 1);
}

TEST_CASE("capacity drops second choices before first ones, and later tokens before earlier ones") {
  const Routing<double> routing{{{1, 0}, {0, 1}, {0, 1}, {0, 1}}, Matrix<double>::Constant(4, 2, 0.5)};
  const Routing<double> kept = with_capacity(routing, 2, 2);
  CHECK(kept.experts == std::vector<std::vector<Index>>{{1, -1}, {0, 1}, {0, -1}, {-1, -1}});
}

TEST_CASE("router 2 T d E, grouped experts 6 T d F k, buffers 6 E C d F") {
  const Index tokens = 9, d = 8, f_width = 12, e = 4, k = 2, capacity = 4;
  SeededValues values(6);
  const Matrix<Counted> x = values.matrix(tokens, d).cast<Counted>(), w = values.matrix(e, d).cast<Counted>();
  const std::vector<Expert<Counted>> experts = as<Counted>(experts_of(e, d, f_width));
  Counted::reset();
  const Matrix<Counted> logits = router_logits(x, w);
  CHECK(Counted::counts().flops() == 2 * tokens * d * e);
  const Routing<double> routing = route_top_k(logits.cast<double>().eval(), k);
  const Routing<Counted> counted{routing.experts, routing.gates.cast<Counted>()};
  // Besides the three products: 4 per hidden element (silu: addition, division, product; times up), 2 per combined
  // output.
  Counted::reset();
  (void)moe_by_groups(x, counted, experts);
  CHECK(Counted::counts().flops() == 6 * tokens * d * f_width * k + 4 * tokens * k * f_width + 2 * tokens * k * d);
  Counted::reset();
  (void)moe_by_buffers(x, counted, experts, capacity);
  Index kept = 0;
  for (const auto& rows : rows_by_expert(with_capacity(routing, 4, capacity), 4)) kept += std::ssize(rows);
  CHECK(kept < tokens * k);
  const Index rows = e * capacity;  // padding is computed too
  CHECK(Counted::counts().flops() ==
        static_cast<std::uint64_t>(6 * rows * d * f_width + 4 * rows * f_width + 2 * kept * d));
}

TEST_CASE("uniform routing of B tokens touches E (1 - (1 - k/E)^B) experts on average") {
  SeededValues values(7);
  const Index e = 16, k = 4, batch = 5, trials = 400;
  double touched = 0;
  for (Index n = 0; n < trials; ++n) {
    std::set<Index> distinct;
    for (const auto& chosen : route_top_k(values.matrix(batch, e), k).experts)
      distinct.insert(chosen.begin(), chosen.end());
    touched += static_cast<double>(distinct.size());
  }
  const double expected = 16 * (1 - std::pow(1 - 4.0 / 16, 5));
  CHECK(touched / static_cast<double>(trials) == Approx(expected).epsilon(0.02));  // 4 standard errors
}
