// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sweep/sweep_store.h"

#include <fmt/core.h>

#include <utility>

#include "scenarios/run/database.h"
#include "scenarios/run/result_io.h"

namespace lightcone::scenarios {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE point(id TEXT PRIMARY KEY, error TEXT NOT NULL, result BLOB NOT NULL) WITHOUT ROWID";

}  // namespace

struct SweepStore::Connection {
  Database database;
  Statement get;
  Statement put;
  explicit Connection(const std::filesystem::path& path)
      : database(path, {"sweep store", 1, kSchema, std::chrono::seconds(10)}),
        get(database, "SELECT error, result FROM point WHERE id=?1"),
        put(database, "INSERT OR REPLACE INTO point(id, error, result) VALUES(?1, ?2, ?3)") {}
};

SweepStore::SweepStore(const std::filesystem::path& folder, const std::function<void(const std::string&)>& warn) {
  const std::filesystem::path path = folder / "sweep.sqlite";
  try {
    connection_ = std::make_unique<Connection>(path);
  } catch (const DatabaseError& error) {
    if (error.fault() != DatabaseFault::corrupt) throw;
    const std::filesystem::path moved = move_aside(path, "sweep store");
    warn(fmt::format("{}: damaged, moved to {}; its points are computed again", path.string(),
                     moved.filename().string()));
    connection_ = std::make_unique<Connection>(path);
  }
}

SweepStore::~SweepStore() = default;

std::optional<FinishedPoint> SweepStore::get(const std::string& id) {
  Statement& statement = connection_->get;
  statement.reset();
  if (!statement.bind_text(1, id).step()) return std::nullopt;
  FinishedPoint point;
  point.error = statement.bytes(0);
  if (point.error.empty()) point.result = parse_run_result(statement.bytes(1));
  statement.reset();
  if (point.error.empty() && !point.result) return std::nullopt;  // unreadable: computed again
  return point;
}

std::size_t SweepStore::size() {
  Statement count(connection_->database, "SELECT COUNT(*) FROM point");
  count.step();
  return static_cast<std::size_t>(count.integer(0));
}

void SweepStore::put(const std::string& id, const FinishedPoint& point) {
  Statement& statement = connection_->put;
  statement.reset();
  statement.bind_text(1, id).bind_text(2, point.error);
  statement.bind_blob(3, point.result ? serialise(*point.result) : std::string()).step();
  statement.reset();
}

}  // namespace lightcone::scenarios
