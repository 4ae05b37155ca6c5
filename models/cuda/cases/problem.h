// SPDX-License-Identifier: Apache-2.0
// A primitive at given sizes: its tensors, how inputs are filled, what the outputs must be by the double-precision
// reference. Knows no CUDA: the same problems run on a GPU (`lightcone-gpu check`), on the CPU (tests), and without
// their truth as timed work (`lightcone-gpu measure`).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/cuda/kernels/arguments.h"

namespace lightcone::models::cuda {

enum class Element { bf16, fp32, int32, int8, e4m3 };
std::size_t bytes_of(Element element);

enum class Fill {
  normal,     // scale x standard normal
  unit_rows,  // normal rows of length 1
  uniform,    // 0 .. scale
  log_decay,  // -scale x uniform
  given,      // the values listed
};

struct InputSpec {
  std::string name;
  Element element;
  std::int64_t count;
  Fill fill = Fill::normal;
  double scale = 1;
  std::int64_t row = 1;             // length of a row, for unit_rows
  std::vector<double> values = {};  // for given
};

struct OutputSpec {
  std::string name;
  Element element;
  std::int64_t count;
  double tolerance;  // of the relative norm |got - truth| / |truth|; 0: equal
};

struct Problem {
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
};

using Values = std::vector<double>;  // exact in the element's format

struct PrimitiveCases {
  std::string_view name;
  std::vector<Sizes> small;  // run on the CPU as well: awkward sizes, a few CTAs
  std::vector<Sizes> large;  // on a GPU only
  Problem (*problem)(const Sizes& sizes, std::uint64_t seed);
  std::vector<Values> (*truth)(const Sizes& sizes, const std::vector<Values>& inputs);  // one per output
  // Inputs may be changed after filling, to keep choices (argmax, top-k) away from ties. May be null.
  void (*settle)(const Sizes& sizes, std::vector<Values>& inputs, std::uint64_t seed) = nullptr;
};

// One entry per primitive of kernels/primitives.h, in its order.
const std::vector<PrimitiveCases>& all_cases();
const PrimitiveCases& cases_of(std::string_view primitive);  // std::out_of_range when there are none

// Seeded inputs, rounded to their formats; the same on every machine.
std::vector<Values> make_inputs(const PrimitiveCases& cases, const Sizes& sizes, std::uint64_t seed);

// Values as bytes of the format, and back.
std::vector<unsigned char> pack(Element element, const Values& values);
Values unpack(Element element, const std::vector<unsigned char>& bytes);

// "{m: 3, n: 5}".
std::string text_of(const Sizes& sizes);

}  // namespace lightcone::models::cuda
