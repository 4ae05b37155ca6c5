// SPDX-License-Identifier: Apache-2.0
#include "sim/base/content_hash.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <cstring>

#include "sim/base/error.h"

namespace lightcone {

struct ContentHash::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    LIGHTCONE_ASSERT(xxh != nullptr);
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {}
ContentHash::~ContentHash() = default;

ContentHash& ContentHash::add(std::string_view text) {
  add_integer(static_cast<std::int64_t>(text.size()));
  XXH3_128bits_update(state_->xxh, text.data(), text.size());
  return *this;
}

ContentHash& ContentHash::add(double value) {
  if (value == 0) value = 0;  // -0.0 and 0.0 are the same parameter
  XXH3_128bits_update(state_->xxh, &value, sizeof value);
  return *this;
}

ContentHash& ContentHash::add_integer(std::int64_t value) {
  XXH3_128bits_update(state_->xxh, &value, sizeof value);
  return *this;
}

std::string ContentHash::hex() const {
  const XXH128_hash_t h = XXH3_128bits_digest(state_->xxh);
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

}  // namespace lightcone
