// SPDX-License-Identifier: Apache-2.0
// The number format an operator computes in: that of its activations.
#pragma once

#include "models/graph/operator.h"

namespace lightcone::scenarios {

NumberFormat operator_format(const models::Operator& op);

}  // namespace lightcone::scenarios
