// SPDX-License-Identifier: Apache-2.0
// The tools of the reference numerics themselves.
#include <cmath>
#include <limits>

#include "catch.h"
#include "models/reference/counted.h"
#include "models/reference/matrix.h"
#include "models/reference/rounded.h"

using namespace lightcone::models::reference;

TEST_CASE("a matrix product of counted numbers has 2 m n k FLOPs less one addition per output") {
  SeededValues values(7);
  const Matrix<Counted> a = values.matrix(5, 7).cast<Counted>(), b = values.matrix(7, 3).cast<Counted>();
  Counted::reset();
  const Matrix<Counted> c = a.lazyProduct(b);
  CHECK(Counted::counts().multiplies == 5 * 7 * 3);
  CHECK(Counted::counts().adds == 5 * 3 * (7 - 1));
  CHECK(rms_ratio(c, (a.cast<double>() * b.cast<double>()).eval()) < 1e-15);
}

TEST_CASE("special functions are counted apart") {
  Counted::reset();
  (void)(exp(Counted(1)) + log(Counted(2)) / sqrt(Counted(3)));
  CHECK(Counted::counts().specials == 3);
  CHECK(Counted::counts().flops() == 2);
}

TEST_CASE("bf16 and fp16 round to nearest, ties to even") {
  CHECK(round_to_bf16(1.0F) == 1.0F);
  CHECK(round_to_bf16(1.0F + 1.0F / 256) == 1.0F);              // a tie, to the even fraction
  CHECK(round_to_bf16(1.0F + 3.0F / 256) == 1.0F + 1.0F / 64);  // a tie, upwards
  CHECK(round_to_bf16(1.0F + 1.1F / 256) == 1.0F + 1.0F / 128);
  CHECK(std::isnan(round_to_bf16(std::numeric_limits<float>::quiet_NaN())));
  CHECK(round_to_fp16(1.0F + 1.0F / 2048) == 1.0F);
  CHECK(round_to_fp16(65519.0F) == 65504.0F);
  CHECK(std::isinf(round_to_fp16(65520.0F)));
  CHECK(round_to_fp16(std::ldexp(1.0F, -24)) == std::ldexp(1.0F, -24));  // the smallest subnormal
  CHECK(round_to_fp16(std::ldexp(1.0F, -26)) == 0.0F);
}

TEST_CASE("seeded values are standard normal and repeat") {
  const Matrix<double> a = SeededValues(3).matrix(200, 200), b = SeededValues(3).matrix(200, 200);
  CHECK(a == b);
  CHECK(a != SeededValues(4).matrix(200, 200));
  CHECK(std::abs(a.mean()) < 0.02);
  CHECK(std::abs(a.squaredNorm() / 40000 - 1) < 0.03);  // 4 standard deviations
}
