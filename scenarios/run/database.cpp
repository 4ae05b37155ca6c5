// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/database.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include <system_error>
#include <thread>
#include <utility>

namespace lightcone::scenarios {
namespace {

DatabaseFault fault_of(int code) {
  switch (code & 0xff) {  // the primary result code
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return DatabaseFault::locked;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // a table or column is missing: not the file that this version wrote
    case SQLITE_FORMAT:
      return DatabaseFault::corrupt;
    default:
      return DatabaseFault::unusable;
  }
}

}  // namespace

Statement::Statement(const Database& database, std::string_view sql) : database_(database) {
  const int code =
      sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  if (code != SQLITE_OK) database.fail(code);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::bind_text(int parameter, std::string_view text) {
  sqlite3_bind_text64(statement_, parameter, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int parameter, std::string_view bytes) {
  sqlite3_bind_blob64(statement_, parameter, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::bind_integer(int parameter, std::int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3_reset(statement_);
  database_.fail(code);
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::string Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

Database::Database(const std::filesystem::path& path, const DatabaseOptions& options) : path_(path), options_(options) {
  std::error_code error;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), error);
  if (error) {
    throw DatabaseError(DatabaseFault::unusable, fmt::format("{} {}: the folder cannot be created: {}", options_.what,
                                                             path_.string(), error.message()));
  }
  // SQLite does not wait for two processes that create the file or switch it to write-ahead mode at once: we do.
  const auto deadline = std::chrono::steady_clock::now() + options_.busy_timeout;
  for (;;) {
    try {
      open();
      return;
    } catch (const DatabaseError& failure) {
      sqlite3_close(std::exchange(handle_, nullptr));
      if (failure.fault() != DatabaseFault::locked || std::chrono::steady_clock::now() > deadline) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Database::~Database() { sqlite3_close(handle_); }

void Database::open() {
  const int code = sqlite3_open_v2(path_.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  if (code != SQLITE_OK) fail(code);
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, static_cast<int>(options_.busy_timeout.count()));
  check_version();
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=NORMAL");
}

// An empty file gets the schema and its version in one transaction; a file of another version is left untouched.
void Database::check_version() {
  const auto version = [this] {
    Statement statement(*this, "PRAGMA user_version");
    statement.step();
    return static_cast<int>(statement.integer(0));
  };
  if (version() == 0) {
    execute("PRAGMA journal_mode=WAL");
    execute("BEGIN IMMEDIATE");
    if (version() == 0) {  // nobody else created it while we waited
      execute(options_.create_sql);
      execute(fmt::format("PRAGMA user_version={}", options_.schema_version));
    }
    execute("COMMIT");
  }
  if (version() != options_.schema_version) {
    throw DatabaseError(DatabaseFault::other_version,
                        fmt::format("{} {} has schema version {}, this program uses {}", options_.what, path_.string(),
                                    version(), options_.schema_version));
  }
}

void Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

void Database::fail(int code) const {
  const DatabaseFault fault = fault_of(code);
  std::string reason = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  if (fault == DatabaseFault::locked) {
    reason = fmt::format("locked by another process for more than {:.1f} s",
                         std::chrono::duration<double>(options_.busy_timeout).count());
  }
  throw DatabaseError(fault, fmt::format("{} {}: {}", options_.what, path_.string(), reason));
}

std::filesystem::path move_aside(const std::filesystem::path& path, const std::string& what) {
  std::filesystem::path target;
  for (int n = 1;; ++n) {
    target = path.string() + fmt::format(".corrupt-{}", n);
    if (!std::filesystem::exists(target)) break;
  }
  std::error_code error;
  std::filesystem::rename(path, target, error);
  if (error) {
    throw DatabaseError(DatabaseFault::unusable, fmt::format("{} {}: damaged, and cannot be moved aside: {}", what,
                                                             path.string(), error.message()));
  }
  for (const char* suffix : {"-wal", "-shm"}) {  // they belong to the damaged file; absent after a clean close
    std::filesystem::rename(path.string() + suffix, target.string() + suffix, error);
  }
  return target;
}

}  // namespace lightcone::scenarios
