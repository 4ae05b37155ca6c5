// SPDX-License-Identifier: Apache-2.0
// The kernels of every primitive, for the CPU.
#pragma once

#include "models/cuda/kernels/flash_attention.h"
#include "models/cuda/kernels/gated_delta_rule.h"
#include "models/cuda/kernels/gemm.h"
#include "models/cuda/kernels/linear_attention.h"
#include "models/cuda/kernels/long_convolution.h"
#include "models/cuda/kernels/primitives.h"
#include "models/cuda/kernels/quantise.h"
#include "models/cuda/kernels/recurrences.h"
#include "models/cuda/kernels/rows.h"
#include "models/cuda/kernels/rwkv.h"
#include "models/cuda/kernels/selection.h"
#include "models/cuda/kernels/standard_attention.h"
