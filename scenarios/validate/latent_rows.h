// SPDX-License-Identifier: Apache-2.0
// Readers of measured rows of multi-head latent attention (ops "mla_prefill" and "mla_decode"), throwing Unsupported
// with the reason where there is no operator.
#pragma once

#include "scenarios/validate/row_to_operator.h"

namespace lightcone::scenarios {

MappedPoint latent_prefill(const OperatingPoint& point);
MappedPoint latent_decode(const OperatingPoint& point);

}  // namespace lightcone::scenarios
