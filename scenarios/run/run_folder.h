// SPDX-License-Identifier: Apache-2.0
// A folder that appears whole or not at all: files are written beside it under a temporary name, which becomes the
// folder's name at the end. Whatever happens before leaves earlier results as they were; a process killed before its
// first file leaves nothing behind.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace lightcone::scenarios {

class RunFolder {
 public:
  // The folder `target`, which must not exist, be empty, or be a run folder (it holds result.json), which is then
  // replaced. Throws ConfigError for another folder's name, RunError when nothing can be written there.
  static RunFolder at(const std::filesystem::path& target);
  // `<parent>/<name>-<n>` with the first free n, from 1.
  static RunFolder numbered(const std::filesystem::path& parent, const std::string& name);

  ~RunFolder();  // not committed: nothing remains
  RunFolder(RunFolder&& other) noexcept;
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  RunFolder& operator=(RunFolder&&) = delete;

  void write(const std::string& file_name, std::string_view bytes);  // RunError: disk full, ...
  std::filesystem::path commit();                                    // the final path

 private:
  RunFolder(std::filesystem::path target, bool numbered);
  void make_temporary();

  std::filesystem::path target_;     // with numbered_: without the number
  std::filesystem::path temporary_;  // empty before the first file, and when committed or moved from
  bool numbered_ = false;
};

}  // namespace lightcone::scenarios
