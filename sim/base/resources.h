// SPDX-License-Identifier: Apache-2.0
// Where the shipped files are (machine and model catalogs, scenarios, plot scripts): $LIGHTCONE_SHARE, else
// share/lightcone beside the installed program, else the source tree that the program was built from.
#pragma once

#include <string>
#include <vector>

namespace lightcone {

// The root that holds `hardware/catalog`, `models/zoo`, `scenarios/files`. Throws ConfigError when there is none.
std::string share_folder();

// Catalog names (file names without `.textproto`) in `folder` below the root, sorted. Empty when it does not exist.
std::vector<std::string> catalog_names(const std::string& folder);

// A catalog name, or the path of a file (it holds a `/` or ends in `.textproto`; relative paths are tried from
// `relative_to` first). Throws ConfigError with suggestions; `what` is "machine", "model", ...
std::string find_catalog_file(const std::string& what, const std::string& folder, const std::string& name_or_path,
                              const std::string& relative_to = {});

}  // namespace lightcone
