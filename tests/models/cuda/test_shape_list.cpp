// SPDX-License-Identifier: Apache-2.0
// What `lightcone-gpu measure` would time and how long it would take; its rows as text.
#include <algorithm>
#include <set>

#include "catch.h"
#include "models/cuda/cases/problem.h"
#include "models/cuda/kernels/primitives.h"
#include "models/cuda/measure/shape_list.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models::cuda;

TEST_CASE("a quick run fits 4 minutes and a full one 20, by rates that any GPU of today exceeds") {
  const auto quick = timed_shapes(true, {}), full = timed_shapes(false, {});
  CHECK(quick.size() >= timed_ops().size());
  CHECK(full.size() > 3 * quick.size());
  CHECK(guessed_seconds(quick, true) < (1 - kMicrobenchmarkShare) * kQuickSeconds);
  CHECK(guessed_seconds(full, false) < (1 - kMicrobenchmarkShare) * kFullSeconds);
  std::set<std::string> ops;
  for (const TimedShape& shape : quick) ops.insert(shape.op);
  CHECK(ops.size() == timed_ops().size());  // a quick run leaves no op out
}

TEST_CASE("every timed shape has a primitive, tensors, and variants of its own primitive") {
  std::set<std::string_view> names;
  for (const PrimitiveCases& cases : all_cases()) names.insert(cases.name);
  std::set<std::string> seen;
  for (const TimedShape& shape : timed_shapes(false, {})) {
    INFO(shape.op << " " << text_of(shape.sizes));
    REQUIRE(names.count(shape.primitive) == 1);
    const Problem problem = cases_of(shape.primitive).problem(shape.sizes, 7);
    double bytes = 0;
    for (const InputSpec& spec : problem.inputs) {
      CHECK(spec.count > 0);
      if (spec.fill == Fill::given) CHECK(std::ssize(spec.values) == spec.count);
      bytes += double(spec.count) * double(bytes_of(spec.element));
    }
    for (const OutputSpec& spec : problem.outputs) bytes += double(spec.count) * double(bytes_of(spec.element));
    CHECK(bytes < 16e9);
    CHECK(shape.bytes > 0.5 * bytes);
    CHECK(shape.bytes < 2 * bytes);
    for (const std::string& variant : shape.variants) {
      const bool of_own = std::any_of(variants().begin(), variants().end(), [&](const Variant& v) {
        return v.name == variant && v.cases_of == shape.primitive;
      });
      const bool same_tensors =
          names.count(variant) == 1 && cases_of(variant).problem(shape.sizes, 7).inputs.size() == problem.inputs.size();
      CHECK((of_own || same_tensors));
    }
    CHECK(seen.insert(shape.op + shape.primitive + text_of(shape.sizes)).second);  // none twice
  }
}

TEST_CASE("ops can be chosen, and a wrong name is answered with a near one") {
  for (const TimedShape& shape : timed_shapes(false, {"softmax", "gemm"})) {
    CHECK((shape.op == "softmax" || shape.op == "gemm"));
  }
  CHECK(timed_shapes(false, {"softmax"}).front().quick);
  try {
    (void)timed_shapes(false, {"sofmax"});
    FAIL("accepted");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("softmax") != std::string::npos);
  }
}

TEST_CASE("short calls share a graph, long ones are repeated five times at least") {
  CHECK(plan_for(2, true).launches == 32);
  CHECK(plan_for(1500, true).launches == 1);
  CHECK(plan_for(5e5, true).replays == 5);
  CHECK(plan_for(10, false).replays > plan_for(200, true).replays / 2);
  CHECK(plan_for(100, false).replays == 50);
}

TEST_CASE("operands rotate through more than two L2 caches, within a quarter of the memory") {
  CHECK(rotating_copies(1e6, 50e6, 80e9) == 32);
  CHECK(rotating_copies(20e6, 50e6, 80e9) == 6);
  CHECK(rotating_copies(1e9, 50e6, 80e9) == 2);
  CHECK(rotating_copies(15e9, 50e6, 80e9) == 1);
}

TEST_CASE("rows as text: time or value, quoted parameters, names of GPUs") {
  const TableRow timed{"lightcone-gpu:kernels",
                       "H100-SXM-80GB",
                       "gemm",
                       {{"m", 3}, {"kind", "x"}},
                       "bf16",
                       12.345678,
                       {},
                       {},
                       "gemm",
                       "a, b",
                       {}};
  CHECK(table_line(timed) ==
        "lightcone-gpu:kernels,H100-SXM-80GB,gemm,\"{\"\"m\"\":3,\"\"kind\"\":\"\"x\"\"}\",bf16,12.3457,,,gemm,\"a, "
        "b\",\n");
  const TableRow value{"s", "g", "power", {}, "", {}, 412.5, "W", "idle", {}, {}};
  CHECK(table_line(value) == "s,g,power,{},,,412.5,W,idle,,\n");
  CHECK(table_header() == "source,gpu,op,params,dtype,time_us,value,unit,kernel,note,flag\n");
  CHECK(gpu_name("NVIDIA H100 80GB HBM3") == "H100-SXM-80GB");
  CHECK(gpu_name("NVIDIA A100-SXM4-80GB") == "A100-SXM-80GB");
  CHECK(gpu_name("NVIDIA A100 80GB PCIe") == "A100-PCIe-80GB");
  CHECK(gpu_name("NVIDIA H200") == "H200-SXM-141GB");
  CHECK(gpu_name("NVIDIA B200") == "B200-SXM-180GB");
  CHECK(gpu_name("NVIDIA GH200 480GB") == "GH200-96GB");
  CHECK(gpu_name("NVIDIA GeForce RTX 4090") == "GeForce-RTX-4090");
}
