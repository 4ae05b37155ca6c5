// SPDX-License-Identifier: Apache-2.0
// Content hashes (XXH3, 128 bits) of plain values, field by field, for keys that must not change between runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace lightcone {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;

  ContentHash& add(std::string_view text);  // length first, so that "ab","c" differs from "a","bc"
  ContentHash& add(double value);
  ContentHash& add_integer(std::int64_t value);
  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T> ContentHash& add(T value) {
    return add_integer(static_cast<std::int64_t>(value));
  }

  [[nodiscard]] std::string hex() const;  // 32 digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lightcone
