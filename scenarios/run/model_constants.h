// SPDX-License-Identifier: Apache-2.0
// Numbers of the model that no machine file holds, since they stand for the model itself or for a library's code and
// not for one GPU: those that were fitted to measurements or assumed. They go into the provenance of every run, beside
// the machine's own. Not listed: counts taken from a kernel's published source, and numbers of the host's bookkeeping.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lightcone::scenarios {

struct ModelConstant {
  std::string_view file;    // in the source tree
  std::string_view name;    // as it is declared there
  std::string_view value;   // as it is written there
  std::string_view source;  // "calibrated: <data set>" or "assumed: <why>"
};

const std::vector<ModelConstant>& model_constants();

// `kName = value (file)`, as the provenance shows it.
std::string shown(const ModelConstant& constant);

}  // namespace lightcone::scenarios
