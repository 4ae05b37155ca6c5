// SPDX-License-Identifier: Apache-2.0
// Feature maps, and normalised linear attention over them: Linear Transformer, Performer, Based.
#include "catch.h"
#include "models/reference/feature_maps.h"
#include "models/reference/linear_attention.h"

using namespace lightcone::models::reference;

namespace {

// Causal attention with given weights: o_t = sum_{i<=t} w(t, i) v_i / sum_{i<=t} w(t, i).
template <class Weight>
Matrix<double> weighted_mean(const Matrix<double>& v, Weight weight) {
  Matrix<double> output = Matrix<double>::Zero(v.rows(), v.cols());
  for (Eigen::Index t = 0; t < v.rows(); ++t) {
    double sum = 0;
    for (Eigen::Index i = 0; i <= t; ++i) {
      output.row(t) += weight(t, i) * v.row(i);
      sum += weight(t, i);
    }
    output.row(t) /= sum;
  }
  return output;
}

}  // namespace

TEST_CASE("Linear Transformer: chunked and recurrent equal the weighted mean over elu + 1 features") {
  for (const Eigen::Index tokens : {1, 5, 67}) {
    SeededValues values{std::uint64_t(tokens)};
    const Matrix<double> q = elu_plus_one(values.matrix(tokens, 8)), k = elu_plus_one(values.matrix(tokens, 8)),
                         v = values.matrix(tokens, 6);
    const Matrix<double> expected = weighted_mean(v, [&](auto t, auto i) { return q.row(t).dot(k.row(i)); });
    const LinearHead<double> head = with_normaliser(LinearHead<double>{q, k, v, {}, {}});
    CHECK(rms_ratio(normalised(linear_attention_recurrent(head).output), expected) < 1e-13);
    CHECK(rms_ratio(normalised(linear_attention_quadratic(head)), expected) < 1e-13);
    for (const Eigen::Index chunk : {1, 16, 100}) {
      CHECK(rms_ratio(normalised(linear_attention_chunked(head, chunk).output), expected) < 1e-13);
    }
    const LinearHead<float> single{head.q.cast<float>(), head.k.cast<float>(), head.v.cast<float>(), {}, {}};
    CHECK(rms_ratio(normalised(linear_attention_chunked(single, 16).output), expected) < 5e-6);
  }
}

TEST_CASE("elu + 1 is positive, continuous and x + 1 above zero") {
  Matrix<double> x(1, 4);
  x << -30, -1e-9, 0, 2.5;
  const Matrix<double> y = elu_plus_one(x);
  CHECK(y(0) == Approx(std::exp(-30)));
  CHECK(y(1) == Approx(1).epsilon(1e-8));
  CHECK(y(2) == 1);
  CHECK(y(3) == 3.5);
}

TEST_CASE("Based: the product of Taylor features is 1 + s + s^2 / 2") {
  SeededValues values(3);
  const Matrix<double> q = values.matrix(12, 16), k = values.matrix(12, 16), v = values.matrix(12, 4);
  const Matrix<double> fq = taylor_features(q), fk = taylor_features(k);
  CHECK(fq.cols() == 273);  // of the published dimension 16
  const auto taylor = [&](Eigen::Index t, Eigen::Index i) {
    const double s = q.row(t).dot(k.row(i)) / 4;
    return 1 + s + s * s / 2;
  };
  for (Eigen::Index t = 0; t < 12; ++t) {
    for (Eigen::Index i = 0; i < 12; ++i) CHECK(fq.row(t).dot(fk.row(i)) == Approx(taylor(t, i)).epsilon(1e-12));
  }
  const LinearHead<double> head = with_normaliser(LinearHead<double>{fq, fk, v, {}, {}});
  CHECK(rms_ratio(normalised(linear_attention_chunked(head, 5).output), weighted_mean(v, taylor)) < 1e-12);
}

TEST_CASE("Performer: the features estimate exp(q.k) without bias, with the variance of the paper") {
  const Eigen::Index d = 8, m = 64, draws = 400;
  SeededValues values(17);
  const Matrix<double> q = values.matrix(4, d, 0.2), k = values.matrix(4, d, 0.2);
  for (const bool orthogonal : {false, true}) {
    Matrix<double> sum = Matrix<double>::Zero(4, 4), squares = sum;
    for (Eigen::Index draw = 0; draw < draws; ++draw) {
      const Matrix<double> w = orthogonal ? orthogonal_projections(values, m, d) : values.matrix(m, d);
      const Matrix<double> estimate = favor_features(q, w) * favor_features(k, w).transpose();
      sum += estimate;
      squares += estimate.cwiseAbs2();
    }
    for (Eigen::Index i = 0; i < 4; ++i) {
      for (Eigen::Index j = 0; j < 4; ++j) {
        const double kernel = std::exp(q.row(i).dot(k.row(j)));
        // Lemma 2: the variance of one estimate from m independent projections.
        const double variance = kernel * kernel * std::expm1((q.row(i) + k.row(j)).squaredNorm()) / double(m);
        const double mean = sum(i, j) / draws, measured = squares(i, j) / draws - mean * mean;
        CHECK(std::abs(mean - kernel) < 4 * std::sqrt(variance / draws));
        if (orthogonal) CHECK(measured < 1.25 * variance);  // theorem 2: not more, up to the spread of this sample
        if (!orthogonal) CHECK(measured == Approx(variance).epsilon(0.5));
      }
    }
  }
}

TEST_CASE("orthogonal projections are orthogonal within blocks, with Gaussian lengths") {
  SeededValues values(8);
  const Matrix<double> w = orthogonal_projections(values, 20, 8);
  const Matrix<double> gram = w.topRows(8) * w.topRows(8).transpose();
  CHECK((gram - Matrix<double>(gram.diagonal().asDiagonal())).norm() < 1e-12 * gram.norm());
  CHECK(std::abs(w.row(0).dot(w.row(9))) > 1e-3);  // another block
  CHECK(orthogonal_projections(values, 4000, 8).squaredNorm() / (4000 * 8) == Approx(1).epsilon(0.05));
}

TEST_CASE("Performer: attention over features approaches softmax attention") {
  SeededValues values(29);
  const Eigen::Index d = 8;
  const Matrix<double> q = values.matrix(40, d, 0.4), k = values.matrix(40, d, 0.4), v = values.matrix(40, 6);
  const Matrix<double> expected = weighted_mean(v, [&](auto t, auto i) { return std::exp(q.row(t).dot(k.row(i))); });
  const auto error = [&](Eigen::Index m) {
    const Matrix<double> w = orthogonal_projections(values, m, d);
    const LinearHead<double> head =
        with_normaliser(LinearHead<double>{favor_features(q, w), favor_features(k, w), v, {}, {}});
    return rms_ratio(normalised(linear_attention_chunked(head, 16).output), expected);
  };
  const double few = error(64), many = error(16384);
  CHECK(many < 0.06);
  CHECK(many < few / 4);  // 256 times the features: a sixteenth of the error, up to the luck of one draw
}
