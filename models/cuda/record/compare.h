// SPDX-License-Identifier: Apache-2.0
// How far an output is from its truth.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lightcone::models::cuda {

constexpr unsigned char kPoison = 0xFF;  // of outputs before a kernel runs: NaN in every floating-point format

// |got - truth| / |truth|; 0 for two zeros, infinite for a wrong zero, for values that are no numbers, and for lengths
// that differ.
double relative_norm(const std::vector<double>& got, const std::vector<double>& truth);

// XXH3 of the bytes, 32 hexadecimal digits.
std::string digest_of(const std::vector<unsigned char>& bytes);

}  // namespace lightcone::models::cuda
