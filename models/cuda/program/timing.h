// SPDX-License-Identifier: Apache-2.0
// Times primitives on the GPU: calls on rotating copies of random operands, captured in a graph that is replayed
// between two events; the median replay divided by its calls.
#pragma once

#include <vector>

#include "models/cuda/cases/problem.h"
#include "models/cuda/kernels/device_run.h"
#include "models/cuda/measure/shape_list.h"
#include "models/cuda/program/device.h"
#include "models/cuda/program/libraries.h"

namespace lightcone::models::cuda {

// Random operands of a problem, filled on the device, in several copies.
class Operands {
 public:
  Operands(const Problem& problem, const Sizes& sizes, int copies, std::uint64_t seed, cudaStream_t stream);
  [[nodiscard]] const Arguments& copy(int index) const { return arguments_[std::size_t(index) % arguments_.size()]; }

 private:
  std::vector<DeviceBuffer> buffers_;
  std::vector<Arguments> arguments_;
};

struct Timed {
  double median_us = 0, least_us = 0;
  TimingPlan plan;
};

Timed time_calls(DevicePrimitive primitive, const Operands& operands, DeviceRun& run, bool quick);

// Time of work that `enqueue` puts on a stream, once, in microseconds.
template <class Enqueue>
double event_us(cudaStream_t stream, const Enqueue& enqueue) {
  cudaEvent_t begin = nullptr, end = nullptr;
  check_cuda(cudaEventCreate(&begin), "event");
  check_cuda(cudaEventCreate(&end), "event");
  check_cuda(cudaEventRecord(begin, stream), "event");
  enqueue();
  check_cuda(cudaEventRecord(end, stream), "event");
  check_cuda(cudaEventSynchronize(end), "timed work");
  float ms = 0;
  check_cuda(cudaEventElapsedTime(&ms, begin, end), "time between events");
  check_cuda(cudaEventDestroy(begin), "event");
  check_cuda(cudaEventDestroy(end), "event");
  return static_cast<double>(ms) * 1e3;
}

double median(std::vector<double> values);

// fill.cu: `count` random values of a spec (Fill::given excepted), a hash of seed and index each.
void fill_random(void* to, const InputSpec& spec, std::uint64_t seed, cudaStream_t stream);

}  // namespace lightcone::models::cuda
