// SPDX-License-Identifier: Apache-2.0
// mLSTM, sLSTM and LSTM: stabilised, chunked and fused forms equal the definitions; FLOPs.
#include <vector>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/head_shapes.h"
#include "models/reference/lstm.h"
#include "models/reference/mlstm.h"
#include "models/reference/slstm.h"

using namespace lightcone::models::reference;
using lightcone::test::HeadShape;
using lightcone::test::kHeadShapes;
using lightcone::test::kLargeHead;

namespace {

MlstmHead<double> mlstm_head(const HeadShape& s, double epsilon) {
  SeededValues values(std::uint64_t(s.tokens * 1000 + s.chunk));
  MlstmHead<double> head{values.matrix(s.tokens, s.dk, 1 / std::sqrt(double(s.dk))),
                         values.matrix(s.tokens, s.dk),
                         values.matrix(s.tokens, s.dv),
                         values.vector(s.tokens),
                         values.vector(s.tokens),
                         epsilon};
  head.log_forget = head.log_forget.unaryExpr([](double x) { return log_sigmoid(x + 3); });
  return head;
}
template <class Number>
MlstmHead<Number> cast(const MlstmHead<double>& h) {
  return {h.q.cast<Number>(),          h.k.cast<Number>(),          h.v.cast<Number>(),
          h.input_gate.cast<Number>(), h.log_forget.cast<Number>(), Number(h.epsilon)};
}

SlstmInputs<double> slstm_inputs(Eigen::Index tokens, Eigen::Index d) {
  SeededValues values{std::uint64_t(tokens)};
  return {values.matrix(tokens, d), values.matrix(tokens, d), values.matrix(tokens, d), values.matrix(tokens, d)};
}
SlstmWeights<double> slstm_weights(Eigen::Index d, Eigen::Index heads) {
  SeededValues values(21);
  const auto w = [&] { return values.matrix(d, d / heads, 0.5); };
  return {w(), w(), w(), w()};
}

}  // namespace

TEST_CASE("mLSTM: recurrent, chunked and parallel equal the definition without stabiliser") {
  for (const HeadShape& s : kHeadShapes) {
    const MlstmHead<double> head = mlstm_head(s, 0);
    const Matrix<double> expected = mlstm_plain(head);
    const MlstmResult<double> recurrent = mlstm_recurrent(head), chunked = mlstm_chunked(head, s.chunk);
    CHECK(rms_ratio(recurrent.output, expected) < 1e-12);
    CHECK(rms_ratio(chunked.output, expected) < 1e-12);
    CHECK(rms_ratio(mlstm_parallel(head), expected) < 1e-12);
    CHECK(rms_ratio(chunked.state.c, recurrent.state.c) < 1e-12);
    CHECK(rms_ratio(chunked.state.n, recurrent.state.n) < 1e-12);
    CHECK(chunked.state.m == Approx(recurrent.state.m).epsilon(1e-12));
  }
}

TEST_CASE("mLSTM with the kernels' epsilon: chunked still equals recurrent, parallel up to the epsilon") {
  const MlstmHead<double> head = mlstm_head(kLargeHead, 1e-6);
  const Matrix<double> expected = mlstm_recurrent(head).output;
  CHECK(rms_ratio(mlstm_chunked(head, kLargeHead.chunk).output, expected) < 1e-12);
  CHECK(rms_ratio(mlstm_parallel(head), expected) < 1e-7);
  CHECK(rms_ratio(mlstm_recurrent(cast<float>(head)).output, expected) < 5e-6);
  CHECK(rms_ratio(mlstm_chunked(cast<float>(head), kLargeHead.chunk).output, expected) < 5e-6);
  CHECK(rms_ratio(mlstm_parallel(cast<float>(head)), expected) < 5e-6);
  MlstmHead<double> rounded = head;
  for (Matrix<double>* m : {&rounded.q, &rounded.k, &rounded.v}) *m = rounded_to_bf16(m->cast<float>()).cast<double>();
  const double error = rms_ratio(mlstm_chunked(cast<float>(rounded), kLargeHead.chunk, Bf16Operands{}).output,
                                 mlstm_recurrent(rounded).output);
  CHECK(error < 1e-2);  // the tolerance of the published kernels' tests
  CHECK(error > 1e-4);
}

TEST_CASE("mLSTM: input gates whose exponential overflows") {
  MlstmHead<double> head = mlstm_head({40, 4, 4, 8}, 0);
  head.input_gate.array() += 800;
  CHECK_FALSE(mlstm_plain(head).allFinite());
  CHECK(mlstm_recurrent(head).output.allFinite());
  CHECK(rms_ratio(mlstm_chunked(head, 8).output, mlstm_recurrent(head).output) < 1e-11);
  CHECK(rms_ratio(mlstm_parallel(head), mlstm_recurrent(head).output) < 1e-11);  // exponents near 800 keep 13 digits
}

TEST_CASE("sLSTM: the stabilised state equals the plain one; fp32; overflow") {
  for (const Eigen::Index tokens : {1, 2, 60}) {
    for (const Eigen::Index heads : {1, 4}) {
      const SlstmInputs<double> in = slstm_inputs(tokens, 8);
      const SlstmWeights<double> w = slstm_weights(8, heads);
      const Matrix<double> expected = slstm<SlstmPlainState>(w, in);
      CHECK(rms_ratio(slstm<SlstmStableState>(w, in), expected) < 1e-12);
      const SlstmInputs<float> single{in.input.cast<float>(), in.forget.cast<float>(), in.output.cast<float>(),
                                      in.cell.cast<float>()};
      const SlstmWeights<float> weights{w.input.cast<float>(), w.forget.cast<float>(), w.output.cast<float>(),
                                        w.cell.cast<float>()};
      CHECK(rms_ratio(slstm<SlstmStableState>(weights, single), expected) < 5e-6);
    }
  }
  SlstmInputs<double> in = slstm_inputs(20, 8);
  const Matrix<double> expected = slstm<SlstmPlainState>(slstm_weights(8, 2), in);
  in.input.array() += 800;  // a factor common to c and n
  CHECK_FALSE(slstm<SlstmPlainState>(slstm_weights(8, 2), in).allFinite());
  CHECK(rms_ratio(slstm<SlstmStableState>(slstm_weights(8, 2), in), expected) < 1e-12);
}

TEST_CASE("sLSTM: heads are independent, tokens are not") {
  SlstmInputs<double> in = slstm_inputs(10, 8);
  const SlstmWeights<double> w = slstm_weights(8, 2);
  const Matrix<double> before = slstm<SlstmStableState>(w, in);
  in.cell(2, 0) += 1;
  const Matrix<double> after = slstm<SlstmStableState>(w, in);
  CHECK(after.rightCols(4) == before.rightCols(4));
  CHECK(after.topRows(2) == before.topRows(2));
  for (Eigen::Index n = 0; n < 4; ++n) CHECK(after(9, n) != before(9, n));
}

TEST_CASE("LSTM: one GEMM for all tokens and gates equals every gate's own sum") {
  for (const Eigen::Index tokens : {1, 2, 60}) {
    SeededValues values{std::uint64_t(tokens)};
    const LstmWeights<double> w{values.matrix(5, 28, 0.4), values.matrix(7, 28, 0.4), values.vector(28)};
    const Matrix<double> x = values.matrix(tokens, 5), expected = lstm_elementwise(w, x);
    CHECK(rms_ratio(lstm_fused(w, x), expected) < 1e-12);
    const LstmWeights<float> single{w.w.cast<float>(), w.r.cast<float>(), w.bias.cast<float>()};
    CHECK(rms_ratio(lstm_fused<float>(single, x.cast<float>()), expected) < 5e-6);
  }
}

TEST_CASE("LSTM with closed and open gates keeps its cell") {
  LstmWeights<double> w{Matrix<double>::Zero(1, 4), Matrix<double>::Zero(1, 4), Vector<double>(4)};
  w.w(0, 3) = 1;               // z sees the input
  w.w(0, 0) = 1000;            // i opens for positive inputs, closes for negative ones
  w.bias << 0, 1000, 1000, 0;  // f and o open
  Matrix<double> x(3, 1);
  x << 0.5, -1, -1;
  const Matrix<double> h = lstm_fused(w, x);
  CHECK(h(2) == Approx(std::tanh(std::tanh(0.5))).epsilon(1e-12));
}

TEST_CASE("FLOPs of mLSTM, sLSTM and LSTM") {
  const std::uint64_t tokens = 32, dk = 6, dv = 5, c = 8;
  const MlstmHead<Counted> head = cast<Counted>(mlstm_head({32, 6, 5, 8}, 1e-6));
  Counted::reset();
  (void)mlstm_recurrent(head);
  CHECK(Counted::counts().flops() == tokens * (6 * dk * dv + 5 * dk + dv + 4));
  CHECK(Counted::counts().specials == tokens * 3);
  Counted::reset();
  (void)mlstm_chunked(head, 8);
  const std::uint64_t gemms = c * (2 * c * (dk + dv) + 4 * dk * dv), pairs = c * (c + 1) / 2;
  // Running sum; per pair two for log D, a difference and a product; per row: maximum (1), factor (2), its product with
  // q S (dv) and q n (1), their sum (1), row sum (c - 1), epsilon (1), division (dv); q n as a product; keys; c and n.
  const std::uint64_t rest = (c - 1) + 4 * pairs + c * (1 + 2 + dv + 1 + 1 + (c - 1) + 1 + dv) + 2 * c * dk +
                             c * (3 + dk) + dk * dv + (2 * dk + (c - 1) * dk);
  CHECK(Counted::counts().flops() == tokens / c * (gemms + rest));

  const std::uint64_t d = 8, heads = 2;
  const SlstmInputs<double> in = slstm_inputs(32, 8);
  const SlstmWeights<double> w = slstm_weights(8, 2);
  Counted::reset();
  (void)slstm<SlstmPlainState>(SlstmWeights<Counted>{w.input.cast<Counted>(), w.forget.cast<Counted>(),
                                                     w.output.cast<Counted>(), w.cell.cast<Counted>()},
                               SlstmInputs<Counted>{in.input.cast<Counted>(), in.forget.cast<Counted>(),
                                                    in.output.cast<Counted>(), in.cell.cast<Counted>()});
  // Recurrent weights, and per element four sums, two sigmoids of 2, c and n (5), c / n and its gate (2).
  CHECK(Counted::counts().flops() == tokens * (8 * d * d / heads + d * (4 + 4 + 5 + 2)));

  SeededValues values(2);
  const LstmWeights<Counted> lstm{values.matrix(5, 32).cast<Counted>(), values.matrix(8, 32).cast<Counted>(),
                                  values.vector(32).cast<Counted>()};
  Counted::reset();
  (void)lstm_fused(lstm, Matrix<Counted>(values.matrix(32, 5).cast<Counted>()));
  // Inputs 8 d n, recurrent 8 d^2, bias 4 d, three sigmoids of 2 and the 4 of the element.
  CHECK(Counted::counts().flops() == tokens * (8 * d * 5 + 8 * d * d + 4 * d + d * (6 + 4)));
  CHECK(Counted::counts().specials == tokens * 5 * d);
}
