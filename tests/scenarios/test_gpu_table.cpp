// SPDX-License-Identifier: Apache-2.0
// What `lightcone-gpu measure` writes is what `validate` and `calibrate` read: every shape with a made-up time through
// the writer, the reader, and the mapping to operators.
#include <algorithm>
#include <fstream>
#include <map>

#include "catch.h"
#include "models/cuda/measure/shape_list.h"
#include "scenarios/validate/machines.h"
#include "scenarios/validate/row_to_operator.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;
namespace cuda = lightcone::models::cuda;

TEST_CASE("measured tables of lightcone-gpu are read as they are") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "measured.csv";
  const std::vector<cuda::TimedShape> shapes = cuda::timed_shapes(false, {});
  {
    std::ofstream out(file);
    out << cuda::table_header();
    for (const cuda::TimedShape& shape : shapes) {
      out << cuda::table_line({"lightcone-gpu:kernels",
                               cuda::gpu_name("NVIDIA H100 80GB HBM3"),
                               shape.op,
                               shape.params,
                               shape.dtype,
                               42.5,
                               {},
                               {},
                               shape.primitive,
                               "graph of 3 x 5, median; 1980 MHz, 400 W",
                               {}});
    }
    out << cuda::table_line({"lightcone-gpu:microbenchmarks",
                             "H100-SXM-80GB",
                             "hbm_bandwidth",
                             {{"bytes", 1}},
                             "",
                             {},
                             3000.0,
                             "GB/s",
                             "read",
                             {},
                             {}});
  }
  const MeasuredTable table = read_measured(file);
  REQUIRE(table.rows.size() == shapes.size() + 1);
  CHECK_FALSE(table.rows.back().time_us.has_value());

  const Machines machines("auto", {});
  const std::vector<std::string>& supported = supported_measured_ops();
  std::map<std::string, int> mapped;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const MeasuredRow& row = table.rows[i];
    CHECK(row.time_us == 42.5);
    CHECK(machines.measured_on(row.point.gpu));
    if (std::find(supported.begin(), supported.end(), row.point.op) == supported.end()) continue;
    const RowMapping mapping = map_row(row.point);
    INFO(row.point.op << ": " << mapping.reason);
    REQUIRE(mapping.mapped.has_value());
    CHECK(mapping.mapped->timing == TimingConvention::graph_replay);
    ++mapped[row.point.op];
  }
  for (const char* op : {"gemm", "bmm", "attention_prefill", "attention_decode", "softmax", "rmsnorm", "layernorm",
                         "linear_attention", "scan", "causal_conv1d"}) {
    INFO(op);
    CHECK(mapped[op] > 0);
  }
}
