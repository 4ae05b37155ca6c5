// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021): pairs of dimensions are rotated by position x base^{-2i/d}. Two layouts:
// neighbouring pairs (2i, 2i+1), as the paper and DeepSeek, and halves (i, i + d/2), as GPT-NeoX and Llama in Hugging
// Face. Not modelled: frequency scaling for long contexts (YaRN).
#pragma once

#include "models/reference/matrix.h"

namespace lightcone::models::reference {

enum class RopeLayout { neighbours, halves };

// Each row t of x[T, d] stands at position first + t; the first `rotary` of its d dimensions are rotated.
template <class Number>
Matrix<Number> rotated_by_position(Matrix<Number> x, Eigen::Index first, RopeLayout layout, Eigen::Index rotary,
                                   double base = 10000) {
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    for (Eigen::Index i = 0; i < rotary / 2; ++i) {
      const double angle =
          static_cast<double>(first + t) * std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotary));
      const Number c = static_cast<Number>(std::cos(angle)), s = static_cast<Number>(std::sin(angle));
      Number& a = x(t, layout == RopeLayout::neighbours ? 2 * i : i);
      Number& b = x(t, layout == RopeLayout::neighbours ? 2 * i + 1 : i + rotary / 2);
      const Number turned = a * c - b * s;
      b = a * s + b * c;
      a = turned;
    }
  }
  return x;
}

}  // namespace lightcone::models::reference
