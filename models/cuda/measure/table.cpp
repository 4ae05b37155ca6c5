// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/measure/table.h"

#include <fmt/core.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/base/csv.h"

namespace lightcone::models::cuda {

namespace {

std::string number(std::optional<double> value) { return value ? fmt::format("{:.6g}", *value) : std::string(); }

struct GpuName {
  std::string_view part, without, name;  // a name that holds `part` and not `without`
};
// The most particular first. Names as nvidia-smi prints them.
constexpr std::array<GpuName, 13> kGpus{{
    {"A100-SXM4-80GB", "-", "A100-SXM-80GB"},
    {"A100-SXM4-40GB", "-", "A100-SXM-40GB"},
    {"A100 80GB PCIe", "-", "A100-PCIe-80GB"},
    {"A100-PCIE-40GB", "-", "A100-PCIe-40GB"},
    {"H100 80GB HBM3", "-", "H100-SXM-80GB"},
    {"H100 PCIe", "-", "H100-PCIe-80GB"},
    {"GH200 480GB", "-", "GH200-96GB"},
    {"H200", "NVL", "H200-SXM-141GB"},
    {"H20", "H200", "H20-SXM-96GB"},
    {"B200", "GB200", "B200-SXM-180GB"},
    {"GB200", "-", "GB200-SXM-186GB"},
    {"L40S", "-", "L40S"},
    {"L40", "-", "L40"},
}};

}  // namespace

std::string table_header() {
  return csv_line({"source", "gpu", "op", "params", "dtype", "time_us", "value", "unit", "kernel", "note", "flag"});
}

std::string table_line(const TableRow& row) {
  nlohmann::ordered_json params = nlohmann::ordered_json::object();
  for (const Param& param : row.params) {
    if (param.text.empty()) {
      params[param.name] = param.number;
    } else {
      params[param.name] = param.text;
    }
  }
  return csv_line({row.source, row.gpu, row.op, params.dump(), row.dtype, number(row.time_us), number(row.value),
                   row.unit, row.kernel, row.note, row.flag});
}

std::string gpu_name(const std::string& device) {
  for (const GpuName& known : kGpus) {
    const bool without = known.without != "-" && device.find(known.without) != std::string::npos;
    if (device.find(known.part) != std::string::npos && !without) return std::string(known.name);
  }
  std::string name = device.rfind("NVIDIA ", 0) == 0 ? device.substr(7) : device;
  for (char& c : name) {
    if (c == ' ') c = '-';
  }
  return name;
}

}  // namespace lightcone::models::cuda
