// SPDX-License-Identifier: Apache-2.0
// The messages between SMs, crossbar, L2 slices and HBM: requests for one cache line, and what travels on the links.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/base/error.h"

namespace lightcone::hardware {

enum class DataSource : std::uint8_t { l1, l2_near, l2_far, hbm };

// Bytes of the 32-byte sectors in a mask of four.
inline constexpr std::array<std::uint8_t, 16> kSectorBytes{0,  32, 32, 64, 32, 64, 64, 96,
                                                           32, 64, 64, 96, 64, 96, 96, 128};

// One line of a transfer on its way from an SM to memory and back. It travels inside the messages, so that nothing has
// to be looked up where it arrives.
struct LineRequest {
  std::uint32_t line = 0;      // line number: byte address / line size
  std::uint32_t local = 0;     // line number inside the home slice
  std::uint32_t transfer = 0;  // of the SM that asked
  std::uint16_t home = 0;      // slice
  std::uint16_t sm = 0;
  std::uint8_t sectors = 0;  // 32-byte sectors wanted, bit mask
  std::uint8_t copies = 1;   // multicast: bytes arrive this many times at the SM port
  bool write = false;
  DataSource source = DataSource::l2_near;

  [[nodiscard]] std::uint32_t bytes() const { return kSectorBytes[sectors & 0xfu]; }
};

inline constexpr std::uint32_t kNone = 0xffffffffu;

// Values that come and go, by index; a freed place is used again.
template <class T>
class Pool {
 public:
  std::uint32_t take() {
    if (free_.empty()) {
      items_.emplace_back();
      return static_cast<std::uint32_t>(items_.size() - 1);
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void give_back(std::uint32_t index) { free_.push_back(index); }
  T& operator[](std::uint32_t index) { return items_[index]; }
  const T& operator[](std::uint32_t index) const { return items_[index]; }
  [[nodiscard]] std::size_t in_use() const { return items_.size() - free_.size(); }

 private:
  std::vector<T> items_;
  std::vector<std::uint32_t> free_;
};

// What is delivered, and to whom. `place` and `index` mean what the kind says.
enum class MessageKind : std::uint8_t {
  slice_request,  // place: slice, with request; a read or write arrives at the slice the SM talks to
  home_request,   // place: home slice, index: fetch; a miss of the near partition asks the home partition
  fill,           // place: slice, index: fetch; data of a missed line arrives
  sm_data,        // place: SM, with request; data or a store acknowledgement arrives at the SM port
  transfer_done,  // place: SM, index: transfer; the last byte of a transfer is in place
  role_wake,      // place: SM, index: slot * 16 + role
  cta_start,      // place: SM, index: slot; a CTA's first instruction
  copy_start,     // place: SM, index: transfer; the copy engine begins with it
};
struct Message {
  MessageKind kind;
  std::uint16_t place;
  std::uint32_t index;
  LineRequest request{};
};

}  // namespace lightcone::hardware
