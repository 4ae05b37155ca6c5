// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/timeline.h"

#include <fmt/core.h>

#include <algorithm>

#include "sim/observe/trace/trace.h"

namespace lightcone::scenarios {
namespace {

constexpr std::size_t kSamplesPerKernel = 16;

// The end of the section that starts at operator `first`.
std::size_t section_end(const RunResult& result, std::size_t first) {
  std::size_t last = first;
  while (last < result.operators.size() && result.operators[last].section == result.operators[first].section &&
         result.operators[last].repeat == result.operators[first].repeat) {
    ++last;
  }
  return last;
}

// Time-weighted mean of neighbouring samples.
UtilisationSample merge(const UtilisationSample* first, const UtilisationSample* last) {
  UtilisationSample sum{first->start_us, (last - 1)->end_us, 0, 0, 0, 0, 0, 0};
  const double length = std::max(sum.end_us - sum.start_us, 1e-12);
  for (const UtilisationSample* s = first; s != last; ++s) {
    const double weight = (s->end_us - s->start_us) / length;
    sum.tensor += weight * s->tensor;
    sum.fp32 += weight * s->fp32;
    sum.sfu += weight * s->sfu;
    sum.shared += weight * s->shared;
    sum.l2 += weight * s->l2;
    sum.hbm += weight * s->hbm;
  }
  return sum;
}

struct Tracks {
  Trace::Track sections, operators, kernels, tensor, l2, hbm, clock, power;
  explicit Tracks(Trace& trace, const RunResult& result) {
    const Trace::Track gpu = trace.add_process(fmt::format("{} {} on {}", result.model, result.phase, result.gpu));
    sections = trace.add_track(gpu, "sections");
    operators = trace.add_track(gpu, "operators");
    kernels = trace.add_track(gpu, "kernels (stream 0)");
    tensor = trace.add_counter(gpu, "tensor cores", "%");
    l2 = trace.add_counter(gpu, "L2 bandwidth", "%");
    hbm = trace.add_counter(gpu, "HBM bandwidth", "%");
    clock = trace.add_counter(gpu, "SM clock", "MHz");
    power = trace.add_counter(gpu, "power", "W");
  }
};

void add_counters(Trace& trace, const Tracks& tracks, const KernelSpan& span, const KernelResult& kernel,
                  BytesPerSecond hbm_peak) {
  trace.set_counter(tracks.clock, span.start, kernel.clock.count() * 1e-6);
  if (kernel.time.count() > 0) {
    trace.set_counter(tracks.power, span.start, kernel.energy.total().count() / kernel.time.count());
  }
  for (const UtilisationSample& sample : utilisation(kernel, hbm_peak)) {
    const Seconds at = span.start + Seconds(sample.start_us * 1e-6);
    trace.set_counter(tracks.tensor, at, 100 * sample.tensor);
    trace.set_counter(tracks.l2, at, 100 * sample.l2);
    trace.set_counter(tracks.hbm, at, 100 * sample.hbm);
  }
}

// A slice per stretch of spans that agree in section (or operator) and repetition.
template <class Same, class Name>
void add_stretches(Trace& trace, Trace::Track track, const std::vector<KernelSpan>& spans, Same same, Name name) {
  for (std::size_t first = 0; first < spans.size();) {
    std::size_t last = first + 1;
    while (last < spans.size() && same(spans[first], spans[last])) ++last;
    trace.add_slice(track, name(spans[first]), spans[first].start, spans[last - 1].end);
    first = last;
  }
}

}  // namespace

std::vector<KernelSpan> kernel_spans(const RunResult& result) {
  std::vector<KernelSpan> spans;
  Seconds now;
  for (std::size_t first = 0; first < result.operators.size();) {
    const std::size_t last = section_end(result, first);
    for (std::uint64_t repetition = 0; repetition < result.operators[first].repeat; ++repetition) {
      for (std::size_t row = first; row < last; ++row) {
        for (const std::size_t kernel : result.operators[row].kernels) {
          const Seconds end = now + result.kernels[kernel].result.time;
          spans.push_back({row, repetition, kernel, now, end});
          now = end;
        }
      }
    }
    first = last;
  }
  return spans;
}

std::vector<UtilisationSample> utilisation(const KernelResult& kernel, BytesPerSecond hbm_peak) {
  const std::size_t count = kernel.timeline.size();
  if (count == 0) {
    const auto share = [&](Seconds bound) { return kernel.time.count() > 0 ? bound / kernel.time : 0.0; };
    const ResourceBounds& b = kernel.bounds;
    const double moved = static_cast<double>((kernel.work.hbm_read + kernel.work.hbm_written).count());
    const double hbm = hbm_peak.count() > 0 ? share(Seconds(moved / hbm_peak.count())) : 0.0;
    return {{0, kernel.time.count() * 1e6, share(b.tensor), share(b.fp32), share(b.sfu), share(b.shared), share(b.l2),
             hbm}};
  }
  std::vector<UtilisationSample> merged;
  const std::size_t groups = std::min(count, kSamplesPerKernel);
  for (std::size_t g = 0; g < groups; ++g) {
    merged.push_back(merge(&kernel.timeline[g * count / groups], kernel.timeline.data() + (g + 1) * count / groups));
  }
  return merged;
}

std::string perfetto_trace(const RunResult& result) {
  Trace trace;
  const Tracks tracks(trace, result);
  const std::vector<KernelSpan> spans = kernel_spans(result);
  const auto& rows = result.operators;
  add_stretches(
      trace, tracks.sections, spans,
      [&](const KernelSpan& a, const KernelSpan& b) {
        return a.repetition == b.repetition && rows[a.operator_row].section == rows[b.operator_row].section;
      },
      [&](const KernelSpan& span) {
        const OperatorRow& row = rows[span.operator_row];
        return row.repeat == 1 ? row.section : fmt::format("{} {}", row.section, span.repetition);
      });
  add_stretches(
      trace, tracks.operators, spans,
      [](const KernelSpan& a, const KernelSpan& b) {
        return a.repetition == b.repetition && a.operator_row == b.operator_row;
      },
      [&](const KernelSpan& span) { return rows[span.operator_row].name; });
  for (const KernelSpan& span : spans) {
    const KernelResult& kernel = result.kernels[span.kernel_row].result;
    trace.add_slice(tracks.kernels, kernel.program, span.start, span.end,
                    {{"operator", rows[span.operator_row].name},
                     {"bound by", result.kernels[span.kernel_row].bound_by()},
                     {"most time", std::string(kCycleReasonNames[static_cast<std::size_t>(kernel.top_reason())])}});
    add_counters(trace, tracks, span, kernel, result.hbm_peak);
  }
  for (const Trace::Track counter : {tracks.tensor, tracks.l2, tracks.hbm, tracks.power}) {
    trace.set_counter(counter, result.latency, 0);
  }
  return trace.bytes();
}

}  // namespace lightcone::scenarios
