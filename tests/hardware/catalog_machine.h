// SPDX-License-Identifier: Apache-2.0
// A machine of the catalog whose values can be read and set by their paths, and the list of its numbers: for tests that
// go over every parameter, also over those that a schema will have later.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "hardware/spec/load.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"
#include "sim/base/textproto_path.h"

namespace lightcone::hardware::testing {

class CatalogMachine {
 public:
  explicit CatalogMachine(const std::string& name) {
    locations_ = load_over_base(find_catalog_file("machine", kMachineCatalog, name), *message_, find_machine_base);
  }
  void set(const std::string& path, const std::string& value) { apply_set(*message_, locations_, path + "=" + value); }
  [[nodiscard]] std::string get(const std::string& path) const { return get_by_path(*message_, path); }
  [[nodiscard]] GpuSpec gpu() const { return to_machine_spec(*message_, locations_).gpu; }

  // Every parameter of the GPU; rates and energies by format stand for all formats as that of bf16.
  [[nodiscard]] std::vector<std::string> parameters() const {
    std::vector<std::string> paths;
    for (std::string path : all_paths(message_->GetDescriptor())) {
      if (path.rfind("gpu.", 0) != 0 || path.find("source[]") != std::string::npos) continue;
      if (const auto at = path.find("[]"); at != std::string::npos) path.replace(at, 2, "[bf16]");
      paths.push_back(std::move(path));
    }
    return paths;
  }

 private:
  std::unique_ptr<google::protobuf::Message> message_ = new_machine_message();
  FieldLocations locations_;
};

inline bool is_number(const std::string& value) {
  return !value.empty() && value.find_first_not_of("0123456789.e+-") == std::string::npos;
}
inline bool is_whole(const std::string& value) {
  return is_number(value) && value.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace lightcone::hardware::testing
