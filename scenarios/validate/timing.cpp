// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/timing.h"

#include <algorithm>

namespace lightcone::scenarios {

namespace {

// From one event on a stream to the next with a kernel that does nothing between: the front end waits for the stream
// to be idle before each time stamp. Calibrated: the shortest TensorRT layers of TensorRT-LLM 1.0.0 on A100
// (aiconfigurator), whose times lie on a grid of 1.024 us, the resolution of events there.
constexpr Seconds kEventToEvent{7e-6};

// From an event on an idle stream, which is stamped at once, to the first kernel of the graph that the host launches
// next: PyTorch's replay, the driver's launch of a small graph (5 to 6 us) and the way to the GPU. Calibrated:
// aiconfigurator, all operators of A100, H100 and B200 together: loops of 5 to 100 calls differ by it.
constexpr Seconds kOpening{12e-6};

Seconds without_gap(const KernelResult& kernel, Seconds gap) { return kernel.time - std::min(gap, kernel.launch); }

}  // namespace

Seconds observed_time(TimingConvention convention, const std::vector<KernelResult>& kernels,
                      const hardware::LaunchSpec& launch, std::uint32_t calls) {
  Seconds whole, bare;
  const Seconds gap = convention == TimingConvention::eager ? launch.stream_kernel : launch.graph_kernel;
  for (const KernelResult& kernel : kernels) {
    whole += kernel.time;
    bare += without_gap(kernel, gap);
  }
  switch (convention) {
    case TimingConvention::graph_replay:
      return calls == 0 ? whole : whole + kOpening / calls;
    case TimingConvention::stream:
      return whole;
    case TimingConvention::profiler:
      return bare;
    case TimingConvention::layer_events:
      return kEventToEvent + bare;
    case TimingConvention::eager:
      return std::max(launch.eager_framework * 2.0, launch.eager_framework + bare);
  }
  return whole;
}

}  // namespace lightcone::scenarios
