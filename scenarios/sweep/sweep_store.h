// SPDX-License-Identifier: Apache-2.0
// The finished points of a sweep, in an SQLite file in the sweep's folder: a point is in it at once when it is done,
// so that the same command, after kill -9 at any moment, goes on where it was.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "scenarios/run/run_result.h"

namespace lightcone::scenarios {

// A point that was computed: a result, or the reason why its input is wrong (does not fit, ...). Both are final.
struct FinishedPoint {
  std::optional<RunResult> result;
  std::string error;  // when there is no result
};

class SweepStore {
 public:
  // Opens or creates `<folder>/sweep.sqlite`. A damaged file is moved aside with a warning. Throws RunError when it is
  // locked, of another version, or cannot be written: a sweep whose points would be lost is not begun.
  SweepStore(const std::filesystem::path& folder, const std::function<void(const std::string&)>& warn);
  ~SweepStore();
  SweepStore(const SweepStore&) = delete;
  SweepStore& operator=(const SweepStore&) = delete;

  [[nodiscard]] std::optional<FinishedPoint> get(const std::string& id);
  [[nodiscard]] std::size_t size();                             // points in it
  void put(const std::string& id, const FinishedPoint& point);  // committed when it returns; RunError: disk full, ...

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace lightcone::scenarios
