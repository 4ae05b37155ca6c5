// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/shape_list.h"

#include <algorithm>
#include <cmath>

#include "models/cuda/measure/op_shapes.h"
#include "sim/base/error.h"
#include "sim/base/suggest.h"

namespace lightcone::models::cuda {

namespace {

constexpr double kFlopsPerUs = 312e12 * 1e-6 / 10, kBytesPerUs = 2.0e12 * 1e-6 / 10;  // a tenth of an A100's
constexpr double kLaunchUs = 8;
constexpr double kSetUpSeconds = 0.05;              // allocation, filling, capture
constexpr double kFillBytesPerSecond = 2e11;        // of random operands
constexpr double kQuickUs = 40e3, kFullUs = 150e3;  // of measuring, per kernel
constexpr double kGraphUs = 2000;                   // one graph should last so long, against the replay's own cost
constexpr int kMostLaunches = 32, kFewestReplays = 5, kMostReplays = 50, kWarmUps = 2;

const std::vector<TimedShape>& everything() {
  static const std::vector<TimedShape> list = [] {
    std::vector<TimedShape> all;
    for (const auto& part :
         {matrix_shapes(), attention_shapes(), row_shapes(), recurrent_shapes(), selection_shapes()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return list;
}

}  // namespace

std::vector<std::string> timed_ops() {
  std::vector<std::string> names;
  for (const TimedShape& shape : everything()) {
    if (std::find(names.begin(), names.end(), shape.op) == names.end()) names.push_back(shape.op);
  }
  return names;
}

std::vector<TimedShape> timed_shapes(bool quick, const std::vector<std::string>& ops) {
  const std::vector<std::string> known = timed_ops();
  for (const std::string& op : ops) {
    if (std::find(known.begin(), known.end(), op) != known.end()) continue;
    throw ConfigError("op \"" + op + "\" is not measured" + suggestion_text(op, known));
  }
  std::vector<TimedShape> chosen;
  for (const std::string& op : ops.empty() ? known : ops) {
    for (const bool first : {true, false}) {
      for (const TimedShape& shape : everything()) {
        if (shape.op == op && shape.quick == first && (first || !quick)) chosen.push_back(shape);
      }
    }
  }
  return chosen;
}

TimingPlan plan_for(double call_us, bool quick) {
  TimingPlan plan;
  plan.launches = std::clamp(int(kGraphUs / call_us), 1, kMostLaunches);
  plan.replays =
      std::clamp(int((quick ? kQuickUs : kFullUs) / (call_us * plan.launches)), kFewestReplays, kMostReplays);
  return plan;
}

double guessed_us(const TimedShape& shape) {
  return kLaunchUs + std::max({shape.flops / kFlopsPerUs, shape.bytes / kBytesPerUs, shape.serial_us});
}

double guessed_seconds(const std::vector<TimedShape>& shapes, bool quick) {
  double seconds = 0;
  for (const TimedShape& shape : shapes) {
    const double call = guessed_us(shape);
    const TimingPlan plan = plan_for(call, quick);
    const double kernels = 1 + double(shape.variants.size());
    seconds += kSetUpSeconds + shape.bytes / kFillBytesPerSecond +
               kernels * 1e-6 * call * (plan.launches * (plan.replays + kWarmUps) + 1);
  }
  return seconds;
}

int rotating_copies(double bytes_of_call, double l2_bytes, double memory_bytes) {
  if (bytes_of_call <= 0) return 1;
  const double wanted = std::ceil(2 * l2_bytes / bytes_of_call) + 1, room = memory_bytes / 4 / bytes_of_call;
  return int(std::clamp(std::min(wanted, room), 1.0, double(kMostLaunches)));
}

}  // namespace lightcone::models::cuda
