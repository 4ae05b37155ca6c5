// SPDX-License-Identifier: Apache-2.0
// The kernel store: every simulated kernel is kept once, under a key made of everything that decides its result
// (program, GPU parameters, evaluator, options, version of the simulator's own sources), in an SQLite file shared by
// all processes. It is a cache: whatever happens to it (locked, damaged, unwritable, disk full) costs time, never a
// result. One warning per kind of trouble, then the run goes on without it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "hardware/machine/evaluate.h"
#include "sim/observe/kernel_result.h"
#include "sim/observe/message_result.h"

namespace lightcone::scenarios {

// Hash over the sources of the evaluators, made at build time: results of an older simulator are never reused.
std::string simulator_version();

// The key of one kernel. `program_hash`: hardware::content_hash of the program; `gpu_hash`: spec hash of the GPU.
std::string kernel_key(const std::string& program_hash, const std::string& gpu_hash, Evaluator evaluator,
                       const hardware::EvaluateOptions& options);

// The key of one collective: hash of its program, of every number of the machine's fabric.
std::string messages_key(const std::string& program_hash, const std::string& fabric_hash, Evaluator evaluator);

// $XDG_CACHE_HOME/lightcone, else ~/.cache/lightcone, else (no home) lightcone-cache below the temporary folder.
std::filesystem::path cache_folder();

struct KernelStoreOptions {
  std::filesystem::path folder;  // usually cache_folder()
  std::chrono::milliseconds busy_timeout{10000};
  std::function<void(const std::string&)> warn;  // one readable line per trouble; may be empty
};

struct KernelStoreStats {
  std::uint64_t hits = 0, misses = 0, stored = 0;
};

class KernelStore {
 public:
  explicit KernelStore(KernelStoreOptions options);  // never throws: a store that cannot be opened is disabled
  ~KernelStore();
  KernelStore(const KernelStore&) = delete;
  KernelStore& operator=(const KernelStore&) = delete;

  [[nodiscard]] std::optional<KernelResult> get(const std::string& key);
  void put(const std::string& key, const KernelResult& result);  // committed when it returns
  // The same of collectives, whose keys are others.
  [[nodiscard]] std::optional<MessageResult> get_messages(const std::string& key);
  void put(const std::string& key, const MessageResult& result);

  [[nodiscard]] bool enabled() const;
  [[nodiscard]] std::filesystem::path path() const;  // of the file in use; empty when disabled
  [[nodiscard]] const KernelStoreStats& stats() const { return stats_; }

 private:
  struct Connection;
  std::unique_ptr<Connection> connect(const std::filesystem::path& path) const;
  void open();
  void replace_damaged_file();
  template <class Action>
  void guarded(Action action);
  template <class Result, class Parse>
  std::optional<Result> get_parsed(const std::string& key, Parse parse);
  void put_bytes(const std::string& key, const std::string& bytes);
  void warn(const std::string& text) const;

  KernelStoreOptions options_;
  std::unique_ptr<Connection> connection_;
  KernelStoreStats stats_;
};

}  // namespace lightcone::scenarios
