// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/op_shapes.h"

namespace lightcone::models::cuda {

std::vector<TimedShape> row_shapes() {
  std::vector<TimedShape> list;
  struct Op {
    const char* name;
    double parameters;  // per column
  };
  for (const Op& op : {Op{"softmax", 0}, Op{"rmsnorm", 1}, Op{"layernorm", 2}}) {
    for (const std::int64_t n : {1024, 4096, 8192}) {
      for (const std::int64_t m : {1, 64, 1024, 4096, 16384}) {
        const double bytes = 2 * double(n) * (2 * double(m) + op.parameters);
        list.push_back({op.name,
                        "bf16",
                        {{"m", m}, {"n", n}},
                        op.name,
                        {{"m", m}, {"n", n}},
                        {},
                        0,
                        bytes,
                        n == 4096 && (m == 1024 || m == 16384)});
      }
    }
  }
  return list;
}

}  // namespace lightcone::models::cuda
