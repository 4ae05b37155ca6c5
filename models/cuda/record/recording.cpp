// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/record/recording.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "models/cuda/kernels/primitives.h"
#include "models/cuda/record/compare.h"
#include "sim/base/error.h"

namespace lightcone::models::cuda {

namespace {

using Json = nlohmann::json;

// Today's truth and that of the recording are sums of the same terms, perhaps in another order.
constexpr double kSameTruth = 1e-7;
// The kept values are a sample of an output: their norm scatters around that of the whole.
constexpr double kSampleSlack = 2;

double norm_of(const Values& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

// Sum with signs from the bits of a linear congruential generator: sees what a norm does not, such as a permutation.
double signed_sum(const Values& values) {
  std::uint64_t state = 1;
  double sum = 0;
  for (const double value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    sum += (state >> 63) != 0 ? value : -value;
  }
  return sum;
}

Values sampled(const Values& values, std::int64_t every) {
  Values some;
  for (std::size_t i = 0; i < values.size(); i += std::size_t(every)) some.push_back(values[i]);
  return some;
}

// JSON has no infinity and no NaN: both stand as null, which is read as infinity.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }
double number_of(const Json& json) { return json.is_null() ? INFINITY : json.get<double>(); }

Json to_json(const OutputRecord& o) {
  Json values = Json::array();
  for (const double value : o.values) values.push_back(number(value));
  return {{"name", o.name},           {"count", o.count},
          {"error", number(o.error)}, {"truth_norm", o.truth_norm},
          {"digest", o.digest},       {"truth_signed", o.truth_signed},
          {"every", o.every},         {"values", values}};
}

OutputRecord output_of(const Json& json) {
  OutputRecord o{json.at("name"),
                 json.at("count"),
                 number_of(json.at("error")),
                 json.at("truth_norm"),
                 json.at("truth_signed"),
                 json.at("digest"),
                 {},
                 json.at("every")};
  for (const Json& value : json.at("values")) o.values.push_back(number_of(value));
  if (o.every < 1) throw ConfigError("\"every\" must be at least 1");
  return o;
}

int major_of(const Recording& recording) { return std::atoi(recording.compute_capability.c_str()); }

// Primitives, then their variants, with the primitive whose cases they take.
std::vector<Variant> everything() {
  std::vector<Variant> list;
  for (const PrimitiveCases& cases : all_cases()) list.push_back({cases.name, cases.name});
  list.insert(list.end(), variants().begin(), variants().end());
  return list;
}

void recheck_output(const OutputRecord& record, const OutputSpec& spec, const Values& truth, const std::string& where,
                    std::vector<std::string>& faults) {
  const auto fault = [&](const std::string& what) { faults.push_back(where + ", " + spec.name + ": " + what); };
  if (record.count != spec.count) return fault("the output has another size today");
  if (!(record.error <= spec.tolerance)) fault("the recorded error is above the tolerance");
  const double norm = norm_of(truth), allowed = kSameTruth * std::max(norm, 1e-30);
  if (std::abs(norm - record.truth_norm) > allowed ||
      std::abs(signed_sum(truth) - record.truth_signed) > allowed * std::sqrt(double(truth.size()))) {
    fault("the reference has changed since");
  }
  const double error = relative_norm(record.values, sampled(truth, record.every));
  if (!(error <= kSampleSlack * spec.tolerance)) fault("the recorded values disagree with the reference of today");
}

}  // namespace

OutputRecord record_output(const OutputSpec& spec, const std::vector<unsigned char>& bytes, const Values& truth) {
  const Values got = unpack(spec.element, bytes);
  OutputRecord record{
      spec.name, spec.count, relative_norm(got, truth), norm_of(truth), signed_sum(truth), digest_of(bytes), {}, 1};
  record.every = std::max<std::int64_t>(1, (spec.count + std::int64_t(kKeptValues) - 1) / std::int64_t(kKeptValues));
  record.values = sampled(got, record.every);
  return record;
}

void write_recording(const Recording& recording, const std::filesystem::path& file) {
  Json cases = Json::array();
  for (const CaseRecord& c : recording.cases) {
    Json outputs = Json::array();
    for (const OutputRecord& output : c.outputs) outputs.push_back(to_json(output));
    cases.push_back({{"primitive", c.primitive}, {"sizes", c.sizes}, {"outputs", outputs}});
  }
  const Json json{{"device", recording.device},
                  {"gpu", recording.gpu},
                  {"compute_capability", recording.compute_capability},
                  {"driver", recording.driver},
                  {"toolkit", recording.toolkit},
                  {"clock_mhz", recording.clock_mhz},
                  {"date", recording.date},
                  {"seed", recording.seed},
                  {"cases", cases}};
  std::ofstream out(file, std::ios::binary);
  out << json.dump(1) << '\n';
  if (!out.flush()) throw RunError(file.string() + ": cannot be written");
}

Recording read_recording(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  try {
    const Json json = Json::parse(in);
    Recording r{json.at("device"), json.at("gpu"),     json.at("compute_capability"),
                json.at("driver"), json.at("toolkit"), json.at("clock_mhz"),
                json.at("date"),   json.at("seed"),    {}};
    for (const Json& c : json.at("cases")) {
      CaseRecord& record = r.cases.emplace_back(CaseRecord{c.at("primitive"), c.at("sizes").get<Sizes>(), {}});
      for (const Json& output : c.at("outputs")) record.outputs.push_back(output_of(output));
    }
    return r;
  } catch (const std::exception& error) {
    throw ConfigError(file.string() + ": is not a recording of lightcone-gpu check: " + error.what());
  }
}

std::vector<std::filesystem::path> recordings_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool runs_on(std::string_view variant, const Sizes& sizes, int major) {
  if (variant != "gemm_wgmma") return major >= 8;
  return major == 9 && sizes.at("k") % 8 == 0;  // rows of whole 16 bytes, for TMA
}

std::vector<std::string> recheck(const Recording& recording) {
  std::vector<std::string> faults;
  for (const Variant& variant : everything()) {
    const PrimitiveCases& cases = cases_of(variant.cases_of);
    for (const auto* list : {&cases.small, &cases.large}) {
      for (const Sizes& sizes : *list) {
        if (!runs_on(variant.name, sizes, major_of(recording))) continue;
        const std::string where = std::string(variant.name) + " " + text_of(sizes);
        const auto found = std::find_if(recording.cases.begin(), recording.cases.end(), [&](const CaseRecord& c) {
          return c.primitive == variant.name && c.sizes == sizes;
        });
        if (found == recording.cases.end()) {
          faults.push_back(where + ": is missing");
          continue;
        }
        const Problem problem = cases.problem(sizes, recording.seed);
        const std::vector<Values> truth = cases.truth(sizes, make_inputs(cases, sizes, recording.seed));
        if (found->outputs.size() != truth.size()) {
          faults.push_back(where + ": has another number of outputs today");
          continue;
        }
        for (std::size_t i = 0; i < truth.size(); ++i) {
          recheck_output(found->outputs[i], problem.outputs[i], truth[i], where, faults);
        }
      }
    }
  }
  return faults;
}

std::vector<std::string> not_recorded(const std::vector<Recording>& recordings) {
  std::set<std::string, std::less<>> recorded;
  for (const Recording& recording : recordings) {
    for (const CaseRecord& c : recording.cases) recorded.insert(c.primitive);
  }
  std::vector<std::string> missing;
  for (const Variant& variant : everything()) {
    if (!recorded.contains(variant.name)) missing.emplace_back(variant.name);
  }
  return missing;
}

std::map<std::string, double> worst_errors(const Recording& recording) {
  std::map<std::string, double> worst;
  for (const CaseRecord& c : recording.cases) {
    for (const OutputRecord& output : c.outputs) worst[c.primitive] = std::max(worst[c.primitive], output.error);
  }
  return worst;
}

}  // namespace lightcone::models::cuda
