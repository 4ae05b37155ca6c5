// SPDX-License-Identifier: Apache-2.0
// DeltaNet, Gated DeltaNet and Kimi Delta Attention: chunked (WY) == recurrent == quadratic, split over ranks, FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/context_parallel.h"
#include "models/reference/counted.h"
#include "models/reference/delta_rule_backward.h"
#include "models/reference/finite_differences.h"
#include "models/reference/head_shapes.h"
#include "models/reference/kimi_delta_attention.h"

using namespace lightcone::models::reference;
using lightcone::test::HeadShape;
using lightcone::test::kHeadShapes;
using lightcone::test::kLargeHead;

namespace {

DeltaHead<double> delta_head(const HeadShape& s, bool gated, bool with_state = true) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk));
  DeltaHead<double> head{unit_rows(values.matrix(s.tokens, s.dk)) / std::sqrt(double(s.dk)),
                         unit_rows(values.matrix(s.tokens, s.dk)),
                         values.matrix(s.tokens, s.dv),
                         values.vector(s.tokens).unaryExpr([](double x) { return 1 / (1 + std::exp(-x)); }),
                         {},
                         {}};
  if (gated) head.log_decay = -0.1 * values.vector(s.tokens).cwiseAbs();
  if (with_state) head.initial = values.matrix(s.dk, s.dv);
  return head;
}

KimiDeltaHead<double> kimi_head(const HeadShape& s) {
  const DeltaHead<double> head = delta_head(s, false);
  return {head.q, head.k, head.v, head.beta, -SeededValues(3).matrix(s.tokens, s.dk).cwiseAbs(), head.initial};
}

template <class Number>
DeltaHead<Number> cast(const DeltaHead<double>& h) {
  return {h.q.cast<Number>(),    h.k.cast<Number>(),         h.v.cast<Number>(),
          h.beta.cast<Number>(), h.log_decay.cast<Number>(), h.initial.cast<Number>()};
}
template <class Number>
KimiDeltaHead<Number> cast(const KimiDeltaHead<double>& h) {
  return {h.q.cast<Number>(),    h.k.cast<Number>(),         h.v.cast<Number>(),
          h.beta.cast<Number>(), h.log_decay.cast<Number>(), h.initial.cast<Number>()};
}

template <class Head>
Head with_bf16_inputs(Head head) {
  for (Matrix<double>* m : {&head.q, &head.k, &head.v})
    *m = rounded_to_bf16(m->template cast<float>()).template cast<double>();
  return head;
}

}  // namespace

TEST_CASE("the row-by-row inverse is that of a triangular solve, at its FLOPs") {
  SeededValues values(2);
  for (const Eigen::Index n : {1, 2, 17, 64}) {
    const Matrix<double> a = values.matrix(n, n, 0.3).triangularView<Eigen::StrictlyLower>();
    const Matrix<double> sum = Matrix<double>::Identity(n, n) + a;
    const Matrix<double> expected = sum.triangularView<Eigen::UnitLower>().solve(Matrix<double>::Identity(n, n));
    CHECK(rms_ratio(unit_lower_inverse(a), expected) < 1e-13);
    Counted::reset();
    (void)unit_lower_inverse(a.cast<Counted>().eval());
    CHECK(Counted::counts().flops() == std::uint64_t((n - 1) * n * (2 * n - 1) / 3));
  }
}

TEST_CASE("delta rule: chunked equals recurrent equals quadratic") {
  for (const HeadShape& s : kHeadShapes) {
    for (const bool gated : {false, true}) {
      const DeltaHead<double> head = delta_head(s, gated);
      const HeadResult<double> expected = delta_rule_recurrent(head), got = delta_rule_chunked(head, s.chunk);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
      CHECK(rms_ratio(delta_rule_chunked(head, s.tokens).output, expected.output) < 1e-12);
    }
  }
}

TEST_CASE("delta rule with beta = 1 replaces what a key held") {
  // Orthonormal keys: writing twice under one key leaves the second value alone, as no sum of outer products does.
  DeltaHead<double> head = delta_head({5, 4, 3, 2}, false, false);
  head.k = Matrix<double>::Identity(4, 4).replicate(2, 1).topRows(5);
  head.beta.setOnes();
  const Matrix<double> state = delta_rule_chunked(head, 2).state;
  CHECK(rms_ratio(state.row(0), head.v.row(4)) < 1e-14);
  CHECK(rms_ratio(state.bottomRows(3), head.v.middleRows(1, 3)) < 1e-14);
}

TEST_CASE("delta rule in fp32 and with bf16 operands") {
  const DeltaHead<double> head = delta_head(kLargeHead, true);
  const Matrix<double> expected = delta_rule_recurrent(head).output;
  CHECK(rms_ratio(delta_rule_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(delta_rule_chunked(cast<float>(head), kLargeHead.chunk).output, expected) < 5e-6);
  const DeltaHead<double> rounded = with_bf16_inputs(head);
  const double error = rms_ratio(delta_rule_chunked(cast<float>(rounded), kLargeHead.chunk, Bf16Operands{}).output,
                                 delta_rule_recurrent(rounded).output);
  CHECK(error < 8e-3);  // the tolerance of flash-linear-attention's tests
  CHECK(error > 1e-4);
}

TEST_CASE("Kimi Delta Attention: chunked equals recurrent; fp32; bf16 operands") {
  for (const HeadShape& s : kHeadShapes) {
    const KimiDeltaHead<double> head = kimi_head(s);
    const HeadResult<double> expected = kimi_delta_recurrent(head);
    for (const Eigen::Index sub_block : {1, 16}) {
      const HeadResult<double> got = kimi_delta_chunked(head, s.chunk, sub_block);
      CHECK(rms_ratio(got.output, expected.output) < 1e-12);
      CHECK(rms_ratio(got.state, expected.state) < 1e-12);
    }
    CHECK(rms_ratio(kimi_delta_chunked(head, s.tokens).output, expected.output) < 1e-12);
  }
  const KimiDeltaHead<double> head = kimi_head(kLargeHead);
  const Matrix<double> expected = kimi_delta_recurrent(head).output;
  CHECK(rms_ratio(kimi_delta_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(kimi_delta_chunked(cast<float>(head), kLargeHead.chunk).output, expected) < 5e-6);
  const KimiDeltaHead<double> rounded = with_bf16_inputs(head);
  const double error = rms_ratio(kimi_delta_chunked(cast<float>(rounded), kLargeHead.chunk, 16, Bf16Operands{}).output,
                                 kimi_delta_recurrent(rounded).output);
  CHECK(error < 8e-3);
  CHECK(error > 1e-4);
}

TEST_CASE("Kimi Delta Attention with equal decays is Gated DeltaNet") {
  const DeltaHead<double> head = delta_head({50, 8, 6, 16}, true);
  const KimiDeltaHead<double> many{head.q, head.k, head.v, head.beta, head.log_decay.replicate(1, 8), head.initial};
  CHECK(rms_ratio(kimi_delta_recurrent(many).output, delta_rule_recurrent(head).output) < 1e-13);
  CHECK(rms_ratio(kimi_delta_chunked(many, 16).output, delta_rule_chunked(head, 16).output) < 1e-13);
}

TEST_CASE("delta rule over ranks: merged maps give every rank its state") {
  const DeltaHead<double> head = delta_head(kLargeHead, true);
  // Four ranks of unequal length; chunks do not divide them.
  const std::vector<Eigen::Index> starts{0, 70, 71, 200, 256};
  std::vector<StateMap<double>> maps;
  std::vector<StateMap<float>> single;
  for (std::size_t r = 0; r + 1 < starts.size(); ++r) {
    maps.push_back(state_map(head, starts[r], starts[r + 1] - starts[r], 16));
    single.push_back(state_map(cast<float>(head), starts[r], starts[r + 1] - starts[r], 16));
  }
  const auto states = merged_states(maps, head.initial);
  const auto fp32 = merged_states(single, Matrix<float>(head.initial.cast<float>()));
  const HeadResult<double> expected = delta_rule_recurrent(head);
  for (std::size_t r = 0; r + 1 < starts.size(); ++r) {
    const Eigen::Index first = starts[r], rows = starts[r + 1] - first;
    const DeltaHead<double> rank{head.q.middleRows(first, rows),      head.k.middleRows(first, rows),
                                 head.v.middleRows(first, rows),      head.beta.segment(first, rows),
                                 head.log_decay.segment(first, rows), states[r]};
    CHECK(rms_ratio(delta_rule_chunked(rank, 16).output, expected.output.middleRows(first, rows)) < 1e-12);
    CHECK(rms_ratio(fp32[r], states[r]) < 5e-6);
  }
  CHECK(rms_ratio(states.back(), expected.state) < 1e-12);
}

TEST_CASE("FLOPs of the delta rule: decode steps") {
  const HeadShape s{10, 6, 5, 4};
  const std::uint64_t tokens = 10, dk = 6, dv = 5;
  Counted::reset();
  (void)delta_rule_recurrent(cast<Counted>(delta_head(s, false)));
  CHECK(Counted::counts().flops() == tokens * (6 * dk * dv + 2 * dv));  // 2 dv: v - S^T k, times beta
  Counted::reset();
  (void)delta_rule_recurrent(cast<Counted>(delta_head(s, true)));
  CHECK(Counted::counts().flops() == tokens * (7 * dk * dv + 2 * dv));
  Counted::reset();
  (void)kimi_delta_recurrent(cast<Counted>(kimi_head(s)));
  CHECK(Counted::counts().flops() == tokens * (7 * dk * dv + 2 * dv));
}

TEST_CASE("FLOPs of the delta rule: chunks") {
  const std::uint64_t tokens = 32, dk = 6, dv = 5, c = 8;
  const HeadShape s{32, 6, 5, 8};
  Counted::reset();
  (void)delta_rule_chunked(cast<Counted>(delta_head(s, false)), 8);
  const std::uint64_t gemms = c * (2 * c * (3 * dk + 2 * dv) + 6 * dk * dv), inverse = (c - 1) * c * (2 * c - 1) / 3;
  const std::uint64_t betas = 2 * c * dk + c * dv, difference = c * dv;
  CHECK(Counted::counts().flops() == tokens / c * (gemms + inverse + betas + difference));
  Counted::reset();
  (void)delta_rule_chunked(cast<Counted>(delta_head(s, true)), 8);
  // Decays: running sum; pairs below the diagonal twice, on it once; rows of K twice and of Q S; the state.
  const std::uint64_t decays = (c - 1) + 2 * (c * (c - 1)) + 2 * c + c * dk + c * (dk + 1) + c * dv + dk * dv;
  CHECK(Counted::counts().flops() == tokens / c * (gemms + inverse + betas + difference + decays));
}

TEST_CASE("delta rule: chunk gradients equal finite differences") {
  for (const bool gated : {false, true}) {
    for (const Eigen::Index chunk : {1, 3, 16}) {
      DeltaHead<double> head = delta_head({7, 3, 4, chunk}, gated);
      SeededValues values(11);
      const Matrix<double> d_output = values.matrix(7, 4), d_state = values.matrix(3, 4);
      const auto loss = [&] {
        const HeadResult<double> r = delta_rule_recurrent(head);
        return r.output.cwiseProduct(d_output).sum() + r.state.cwiseProduct(d_state).sum();
      };
      const DeltaHeadGradients got = delta_rule_backward(head, chunk, d_output, d_state);
      CHECK(rms_ratio(got.q, finite_differences(head.q, loss)) < 1e-9);
      CHECK(rms_ratio(got.k, finite_differences(head.k, loss)) < 1e-9);
      CHECK(rms_ratio(got.v, finite_differences(head.v, loss)) < 1e-9);
      CHECK(rms_ratio(got.beta, finite_differences(head.beta, loss)) < 1e-9);
      CHECK(rms_ratio(got.initial, finite_differences(head.initial, loss)) < 1e-9);
      if (gated) CHECK(rms_ratio(got.log_decay, finite_differences(head.log_decay, loss)) < 1e-9);
    }
  }
}
