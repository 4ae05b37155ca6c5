// SPDX-License-Identifier: Apache-2.0
// The shapes of each group of ops, after the layers of published models.
#pragma once

#include "models/cuda/measure/shape_list.h"

namespace lightcone::models::cuda {

std::vector<TimedShape> matrix_shapes();
std::vector<TimedShape> attention_shapes();
std::vector<TimedShape> row_shapes();
std::vector<TimedShape> recurrent_shapes();
std::vector<TimedShape> selection_shapes();

}  // namespace lightcone::models::cuda
