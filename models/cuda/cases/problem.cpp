// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/cases/problem.h"

#include <cstring>
#include <stdexcept>

#include "models/cuda/cases/case_lists.h"
#include "models/cuda/kernels/number.h"
#include "models/reference/matrix.h"
#include "models/reference/rounded.h"

namespace lightcone::models::cuda {

std::size_t bytes_of(Element element) {
  switch (element) {
    case Element::bf16:
      return 2;
    case Element::fp32:
    case Element::int32:
      return 4;
    case Element::int8:
    case Element::e4m3:
      return 1;
  }
  throw std::logic_error("element");
}

const std::vector<PrimitiveCases>& all_cases() {
  static const std::vector<PrimitiveCases> list = [] {
    std::vector<PrimitiveCases> all;
    for (const auto& part : {gemm_cases(), attention_cases(), row_cases(), recurrent_cases(), selection_cases()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return list;
}

const PrimitiveCases& cases_of(std::string_view primitive) {
  for (const PrimitiveCases& cases : all_cases()) {
    if (cases.name == primitive) return cases;
  }
  throw std::out_of_range("no cases of " + std::string(primitive));
}

namespace {

double rounded(Element element, double value) {
  switch (element) {
    case Element::bf16:
      return static_cast<double>(reference::round_to_bf16(static_cast<float>(value)));
    case Element::fp32:
      return static_cast<double>(static_cast<float>(value));
    case Element::e4m3:
      return static_cast<double>(from_e4m3(to_e4m3(static_cast<float>(value))));
    case Element::int32:
    case Element::int8:
      return std::nearbyint(value);
  }
  throw std::logic_error("element");
}

Values filled(const InputSpec& spec, reference::SeededValues& random) {
  if (spec.fill == Fill::given) return spec.values;
  Values values(static_cast<std::size_t>(spec.count));
  // A uniform value from a normal one, by its distribution function.
  const auto uniform = [&] { return 0.5 * std::erfc(-random.next() / std::sqrt(2.0)); };
  for (double& value : values) {
    switch (spec.fill) {
      case Fill::uniform:
        value = spec.scale * uniform();
        break;
      case Fill::log_decay:
        value = -spec.scale * uniform();
        break;
      default:
        value = spec.scale * random.next();
    }
  }
  if (spec.fill == Fill::unit_rows) {
    for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(spec.row)) {
      double squares = 1e-12;
      for (std::size_t i = 0; i < static_cast<std::size_t>(spec.row); ++i)
        squares += values[first + i] * values[first + i];
      for (std::size_t i = 0; i < static_cast<std::size_t>(spec.row); ++i) values[first + i] /= std::sqrt(squares);
    }
  }
  return values;
}

template <class T>
void append(std::vector<unsigned char>& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <class T>
T value_at(const std::vector<unsigned char>& bytes, std::size_t index) {
  T value{};
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

}  // namespace

std::vector<Values> make_inputs(const PrimitiveCases& cases, const Sizes& sizes, std::uint64_t seed) {
  reference::SeededValues random(seed);
  const Problem problem = cases.problem(sizes, seed);
  std::vector<Values> inputs;
  for (const InputSpec& spec : problem.inputs) inputs.push_back(filled(spec, random));
  if (cases.settle != nullptr) cases.settle(sizes, inputs, seed);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (double& value : inputs[i]) value = rounded(problem.inputs[i].element, value);
  }
  return inputs;
}

std::vector<unsigned char> pack(Element element, const Values& values) {
  std::vector<unsigned char> bytes;
  bytes.reserve(values.size() * bytes_of(element));
  for (const double value : values) {
    switch (element) {
      case Element::bf16:
        append(bytes, to_bf16(static_cast<float>(value)));
        break;
      case Element::fp32:
        append(bytes, static_cast<float>(value));
        break;
      case Element::int32:
        append(bytes, static_cast<std::int32_t>(value));
        break;
      case Element::int8:
        append(bytes, static_cast<std::int8_t>(value));
        break;
      case Element::e4m3:
        append(bytes, to_e4m3(static_cast<float>(value)));
        break;
    }
  }
  return bytes;
}

Values unpack(Element element, const std::vector<unsigned char>& bytes) {
  Values values(bytes.size() / bytes_of(element));
  for (std::size_t i = 0; i < values.size(); ++i) {
    switch (element) {
      case Element::bf16:
        values[i] = static_cast<double>(to_float(value_at<Bf16>(bytes, i)));
        break;
      case Element::fp32:
        values[i] = static_cast<double>(value_at<float>(bytes, i));
        break;
      case Element::int32:
        values[i] = value_at<std::int32_t>(bytes, i);
        break;
      case Element::int8:
        values[i] = value_at<std::int8_t>(bytes, i);
        break;
      case Element::e4m3:
        values[i] = static_cast<double>(from_e4m3(bytes[i]));
        break;
    }
  }
  return values;
}

std::string text_of(const Sizes& sizes) {
  std::string text;
  for (const auto& [name, value] : sizes) text += (text.empty() ? "{" : ", ") + name + ": " + std::to_string(value);
  return text + "}";
}

}  // namespace lightcone::models::cuda
