// SPDX-License-Identifier: Apache-2.0
// One SQLite file in write-ahead mode, as the kernel store and the sweep store use it: a committed row survives the
// death of the program at any moment, and several processes may read and write at once. Every failure is told apart,
// because the owner reacts differently: wait, move the file aside, choose another name, or go on without.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lightcone::scenarios {

enum class DatabaseFault : std::uint8_t {
  locked,         // another process kept it locked for longer than the busy time-out
  corrupt,        // not a database, or damaged
  other_version,  // written under another schema version
  unusable,       // cannot be created, read or written: permissions, full disk
};

class DatabaseError : public RunError {
 public:
  DatabaseError(DatabaseFault fault, const std::string& text) : RunError(text), fault_(fault) {}
  [[nodiscard]] DatabaseFault fault() const { return fault_; }

 private:
  DatabaseFault fault_;
};

class Database;

// A prepared statement: bind parameters from 1, step through rows, read columns from 0; reset() to use it again.
class Statement {
 public:
  Statement(const Database& database, std::string_view sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& operator=(Statement&&) = delete;

  Statement& bind_text(int parameter, std::string_view text);
  Statement& bind_blob(int parameter, std::string_view bytes);
  Statement& bind_integer(int parameter, std::int64_t value);
  bool step();  // true: a row stands ready; throws DatabaseError
  void reset();
  [[nodiscard]] std::string bytes(int column) const;  // of a text or a blob
  [[nodiscard]] std::int64_t integer(int column) const;

 private:
  const Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

struct DatabaseOptions {
  std::string what;  // "kernel store": names the file in messages
  int schema_version = 1;
  std::string create_sql;  // run once on an empty file
  std::chrono::milliseconds busy_timeout{10000};
};

class Database {
 public:
  // Opens or creates the file and its folder. Throws DatabaseError.
  Database(const std::filesystem::path& path, const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const std::string& sql);
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] sqlite3* handle() const { return handle_; }
  [[noreturn]] void fail(int code) const;  // throws the DatabaseError of an SQLite result code

 private:
  void open();
  void check_version();

  std::filesystem::path path_;
  DatabaseOptions options_;
  sqlite3* handle_ = nullptr;
};

// Renames a damaged database file (and its -wal and -shm files) to `<file>.corrupt-N`, N the first free number.
// Returns the new name. Throws DatabaseError when the rename fails.
std::filesystem::path move_aside(const std::filesystem::path& path, const std::string& what);

}  // namespace lightcone::scenarios
