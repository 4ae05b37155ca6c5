// SPDX-License-Identifier: Apache-2.0
// The kernels of every primitive, for the CPU.
#pragma once

#include "models/cuda/kernels/flash_attention.h"
#include "models/cuda/kernels/gemm.h"
#include "models/cuda/kernels/primitives.h"
#include "models/cuda/kernels/rows.h"
#include "models/cuda/kernels/standard_attention.h"
