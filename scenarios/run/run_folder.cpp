// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/run_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "sim/base/error.h"

namespace lightcone::scenarios {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  throw RunError(fmt::format("{}: {}: {}", path.string(), what, std::strerror(error)));
}

void check_replaceable(const fs::path& target) {
  std::error_code error;
  if (!fs::exists(target, error)) return;
  const bool usable =
      fs::is_directory(target, error) && (fs::is_empty(target, error) || fs::exists(target / "result.json", error));
  if (!usable) {
    throw ConfigError(fmt::format(
        "{}: exists and is not a run folder; it is left as it is: name a new folder with --out", target.string()));
  }
}

// The old folder goes only after the new one stands under its name.
void replace(const fs::path& fresh, const fs::path& target) {
  if (std::rename(fresh.c_str(), target.c_str()) == 0) return;  // absent or empty
  if (errno != ENOTEMPTY && errno != EEXIST) fail(target, "cannot be created", errno);
  const fs::path old = fresh.string() + "-old";
  if (std::rename(target.c_str(), old.c_str()) != 0) fail(target, "cannot be replaced", errno);
  if (std::rename(fresh.c_str(), target.c_str()) != 0) {
    const int error = errno;
    std::error_code ignored;
    fs::rename(old, target, ignored);
    fail(target, "cannot be created", error);
  }
  std::error_code ignored;
  fs::remove_all(old, ignored);
}

}  // namespace

RunFolder RunFolder::at(const fs::path& target) {
  const fs::path clean = target.has_filename() ? target : target.parent_path();  // `out/` is `out`
  check_replaceable(clean);
  return RunFolder(clean, false);
}

RunFolder RunFolder::numbered(const fs::path& parent, const std::string& name) {
  return RunFolder(parent / name, true);
}

RunFolder::RunFolder(fs::path target, bool numbered) : target_(std::move(target)), numbered_(numbered) {
  std::error_code error;
  if (target_.has_parent_path()) fs::create_directories(target_.parent_path(), error);
  if (error) fail(target_.parent_path(), "the folder cannot be created", error.value());
  make_temporary();  // tells at once whether anything can be written there
  fs::remove(temporary_, error);
  temporary_.clear();
}

void RunFolder::make_temporary() {
  std::string name = target_.string() + ".partial-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) fail(target_, "cannot write into the folder above", errno);
  temporary_ = name;
  std::error_code error;
  fs::permissions(temporary_, fs::perms(0755), error);  // mkdtemp's 0700 would stay
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, fs::path())),
      numbered_(other.numbered_) {}

RunFolder::~RunFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void RunFolder::write(const std::string& file_name, std::string_view bytes) {
  if (temporary_.empty()) make_temporary();
  const fs::path path = temporary_ / file_name;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail(target_, "cannot write " + file_name, errno);
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(file);
      fail(target_, "cannot write " + file_name, error);
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (close(file) != 0) fail(target_, "cannot write " + file_name, errno);
}

fs::path RunFolder::commit() {
  if (temporary_.empty()) make_temporary();
  fs::path final_path = target_;
  if (!numbered_) {
    replace(temporary_, target_);
  } else {
    for (int n = 1;; ++n) {
      final_path = target_.string() + fmt::format("-{}", n);
      std::error_code error;
      if (fs::exists(final_path, error)) continue;
      if (std::rename(temporary_.c_str(), final_path.c_str()) == 0) break;
      if (errno != ENOTEMPTY && errno != EEXIST) fail(final_path, "cannot be created", errno);
    }
  }
  temporary_.clear();
  return final_path;
}

}  // namespace lightcone::scenarios
