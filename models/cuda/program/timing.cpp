// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/program/timing.h"

#include <algorithm>

namespace lightcone::models::cuda {

namespace {

constexpr int kWarmUps = 2;

// A graph of calls, ready to be replayed.
class Graph {
 public:
  template <class Enqueue>
  Graph(cudaStream_t stream, const Enqueue& enqueue) : stream_(stream) {
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture of a graph");
    try {
      enqueue();
    } catch (...) {
      (void)cudaStreamEndCapture(stream, &graph);  // the error of the call is the one to report
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
      throw;
    }
    check_cuda(cudaStreamEndCapture(stream, &graph), "capture of a graph");
    check_cuda(cudaGraphInstantiate(&executable_, graph, 0), "instantiation of a graph");
    check_cuda(cudaGraphDestroy(graph), "graph");
  }
  ~Graph() { (void)cudaGraphExecDestroy(executable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void replay() const { check_cuda(cudaGraphLaunch(executable_, stream_), "replay of a graph"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Operands::Operands(const Problem& problem, const Sizes& sizes, int copies, std::uint64_t seed, cudaStream_t stream) {
  for (int copy = 0; copy < copies; ++copy) {
    Arguments& arguments = arguments_.emplace_back();
    arguments.sizes = sizes;
    for (const InputSpec& spec : problem.inputs) {
      DeviceBuffer& buffer = buffers_.emplace_back(std::size_t(spec.count) * bytes_of(spec.element));
      if (spec.fill == Fill::given) {
        buffer.upload(pack(spec.element, spec.values));
      } else {
        fill_random(buffer.data(), spec, ++seed * 0x9E3779B97F4A7C15u, stream);
      }
      arguments.inputs.push_back(buffer.data());
    }
    for (const OutputSpec& spec : problem.outputs) {
      arguments.outputs.push_back(buffers_.emplace_back(std::size_t(spec.count) * bytes_of(spec.element)).data());
    }
  }
  check_cuda(cudaStreamSynchronize(stream), "filling of operands");
}

Timed time_calls(DevicePrimitive primitive, const Operands& operands, DeviceRun& run, bool quick) {
  const cudaStream_t stream = run.stream();
  const auto call = [&](int copy) {
    run.release();
    primitive(run, operands.copy(copy));
  };
  call(0);  // makes handles, plans and scratch memory, which a capture may not
  check_cuda(cudaStreamSynchronize(stream), "first call");
  const double once = event_us(stream, [&] { call(1); });

  Timed timed;
  timed.plan = plan_for(once, quick);
  const Graph graph(stream, [&] {
    for (int i = 0; i < timed.plan.launches; ++i) call(i);
  });
  for (int i = 0; i < kWarmUps; ++i) graph.replay();
  std::vector<double> times;
  for (int i = 0; i < timed.plan.replays; ++i) {
    times.push_back(event_us(stream, [&] { graph.replay(); }) / timed.plan.launches);
  }
  timed.median_us = median(times);
  timed.least_us = *std::min_element(times.begin(), times.end());
  return timed;
}

}  // namespace lightcone::models::cuda
