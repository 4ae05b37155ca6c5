// SPDX-License-Identifier: Apache-2.0
// Collects what is wrong with a model specification, each fault under the path of its field in a model file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/field_locations.h"

namespace lightcone::models {

// What is wrong with one field, by the path that it has in a model file (`block[0].attention.kv_heads`).
struct SpecFault {
  std::string field;
  std::string message;
};

class FaultList {
 public:
  explicit FaultList(std::vector<SpecFault>& out, std::string path = {}) : out_(&out), path_(std::move(path)) {}
  void add(const std::string& field, std::string message) const {
    out_->push_back({join_path(path_, field), std::move(message)});
  }
  void require(const std::string& field, std::uint64_t value) const {
    if (value == 0) add(field, "must be at least 1");
  }
  [[nodiscard]] FaultList inside(const std::string& field) const { return FaultList(*out_, join_path(path_, field)); }

 private:
  std::vector<SpecFault>* out_;
  std::string path_;
};

}  // namespace lightcone::models
