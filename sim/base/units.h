// SPDX-License-Identifier: Apache-2.0
// Units as types: no bare number crosses a public header. A quantity converts to another unit only through a
// named function that says how. Counts are 64-bit integers; rates and energies are doubles.
#pragma once

#include <compare>
#include <cstdint>

namespace lightcone {

// A value with a unit. `Tag` makes units distinct types; `Rep` is the number behind it.
template <class Tag, class Rep>
class Quantity {
 public:
  using rep = Rep;
  constexpr Quantity() = default;
  constexpr explicit Quantity(Rep value) : value_(value) {}

  [[nodiscard]] constexpr Rep count() const { return value_; }
  [[nodiscard]] constexpr double real() const { return static_cast<double>(value_); }

  constexpr auto operator<=>(const Quantity&) const = default;

  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value_ -= other.value_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.value_ + b.value_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.value_ - b.value_); }
  friend constexpr Quantity operator*(Quantity a, Rep k) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator*(Rep k, Quantity a) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator/(Quantity a, Rep k) { return Quantity(a.value_ / k); }
  // The ratio of two amounts of one unit is a plain number.
  friend constexpr double operator/(Quantity a, Quantity b) { return a.real() / b.real(); }

 private:
  Rep value_{};
};

using Cycles = Quantity<struct CyclesTag, std::uint64_t>;            // of one clock domain
using Picoseconds = Quantity<struct PicosecondsTag, std::uint64_t>;  // simulated time
using Bytes = Quantity<struct BytesTag, std::uint64_t>;
using Flops = Quantity<struct FlopsTag, std::uint64_t>;  // an amount of floating-point operations; 1 FMA = 2
using Seconds = Quantity<struct SecondsTag, double>;
using Hertz = Quantity<struct HertzTag, double>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag, double>;
using Joules = Quantity<struct JoulesTag, double>;
using Watts = Quantity<struct WattsTag, double>;

constexpr Seconds to_seconds(Picoseconds t) { return Seconds(t.real() * 1e-12); }
constexpr Picoseconds to_picoseconds(Seconds t) {
  return Picoseconds(static_cast<std::uint64_t>(t.count() * 1e12 + 0.5));
}
// Time of `cycles` at `clock`: the count is multiplied once, a rounded period is never summed.
constexpr Seconds duration(Cycles cycles, Hertz clock) { return Seconds(cycles.real() / clock.count()); }
constexpr Joules energy(Watts power, Seconds time) { return Joules(power.count() * time.count()); }

inline namespace literals {
constexpr Cycles operator""_cy(unsigned long long v) { return Cycles(v); }
constexpr Picoseconds operator""_ps(unsigned long long v) { return Picoseconds(v); }
constexpr Bytes operator""_B(unsigned long long v) { return Bytes(v); }
constexpr Bytes operator""_KiB(unsigned long long v) { return Bytes(v * 1024); }
constexpr Bytes operator""_MiB(unsigned long long v) { return Bytes(v * 1024 * 1024); }
constexpr Bytes operator""_GiB(unsigned long long v) { return Bytes(v * 1024 * 1024 * 1024); }
constexpr Flops operator""_flop(unsigned long long v) { return Flops(v); }
constexpr Hertz operator""_MHz(unsigned long long v) { return Hertz(static_cast<double>(v) * 1e6); }
constexpr Hertz operator""_MHz(long double v) { return Hertz(static_cast<double>(v) * 1e6); }
}  // namespace literals

}  // namespace lightcone
