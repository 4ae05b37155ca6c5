// SPDX-License-Identifier: Apache-2.0
// A double that counts the arithmetic done with it, so that a formula's FLOPs are counted by running it: additions and
// multiplications one each (a fused pair is 2 FLOP), divisions as one, exp, log, sqrt, tanh, sin and cos as special
// operations. Comparisons, negation and copies are free.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdint>

namespace lightcone::models::reference {

struct Counts {
  std::uint64_t adds = 0, multiplies = 0, divides = 0, specials = 0;
  [[nodiscard]] std::uint64_t flops() const { return adds + multiplies + divides; }
};

class Counted {
 public:
  Counted() = default;
  Counted(double value) : value_(value) {}  // NOLINT: as a literal of a formula
  [[nodiscard]] double value() const { return value_; }
  explicit operator double() const { return value_; }

  // Counts of this thread since the last reset.
  static Counts& counts() {
    thread_local Counts all;
    return all;
  }
  static void reset() { counts() = {}; }

  friend Counted operator+(Counted a, Counted b) { return ++counts().adds, Counted(a.value_ + b.value_); }
  friend Counted operator-(Counted a, Counted b) { return ++counts().adds, Counted(a.value_ - b.value_); }
  friend Counted operator*(Counted a, Counted b) { return ++counts().multiplies, Counted(a.value_ * b.value_); }
  friend Counted operator/(Counted a, Counted b) { return ++counts().divides, Counted(a.value_ / b.value_); }
  Counted operator-() const { return {-value_}; }
  Counted& operator+=(Counted b) { return *this = *this + b; }
  Counted& operator-=(Counted b) { return *this = *this - b; }
  Counted& operator*=(Counted b) { return *this = *this * b; }
  Counted& operator/=(Counted b) { return *this = *this / b; }
  friend bool operator<(Counted a, Counted b) { return a.value_ < b.value_; }
  friend bool operator>(Counted a, Counted b) { return a.value_ > b.value_; }
  friend bool operator<=(Counted a, Counted b) { return a.value_ <= b.value_; }
  friend bool operator>=(Counted a, Counted b) { return a.value_ >= b.value_; }
  friend bool operator==(Counted a, Counted b) { return a.value_ == b.value_; }
  friend bool operator!=(Counted a, Counted b) { return a.value_ != b.value_; }

  friend Counted exp(Counted a) { return special(std::exp(a.value_)); }
  friend Counted log(Counted a) { return special(std::log(a.value_)); }
  friend Counted sqrt(Counted a) { return special(std::sqrt(a.value_)); }
  friend Counted tanh(Counted a) { return special(std::tanh(a.value_)); }
  friend Counted sin(Counted a) { return special(std::sin(a.value_)); }
  friend Counted cos(Counted a) { return special(std::cos(a.value_)); }
  friend Counted abs(Counted a) { return {std::abs(a.value_)}; }

 private:
  static Counted special(double value) { return ++counts().specials, Counted(value); }
  double value_ = 0;
};

}  // namespace lightcone::models::reference

template <>
struct Eigen::NumTraits<lightcone::models::reference::Counted> : Eigen::NumTraits<double> {
  using Real = lightcone::models::reference::Counted;
  using NonInteger = Real;
  using Nested = Real;
  using Literal = Real;
  enum {
    IsComplex = 0,
    IsInteger = 0,
    IsSigned = 1,
    RequireInitialization = 1,
    ReadCost = 1,
    AddCost = 1,
    MulCost = 1
  };
};
