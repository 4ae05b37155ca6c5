// SPDX-License-Identifier: Apache-2.0
// Shapes of one head for recurrences that have a chunk form.
#pragma once

#include <Eigen/Core>
#include <vector>

namespace lightcone::test {

struct HeadShape {
  Eigen::Index tokens, dk, dv, chunk;
};

// One token; chunks of one; not a multiple; a chunk longer than the sequence; one key and one value; whole chunks.
inline const std::vector<HeadShape> kHeadShapes{{1, 4, 6, 16}, {7, 3, 5, 1},  {100, 32, 48, 16},
                                                {5, 4, 4, 64}, {33, 1, 1, 8}, {256, 32, 48, 64}};
inline const HeadShape kLargeHead = kHeadShapes.back();

}  // namespace lightcone::test
