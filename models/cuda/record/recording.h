// SPDX-License-Identifier: Apache-2.0
// What `lightcone-gpu check` found on a GPU, as a JSON file in tests/measured, and its check without a GPU against the
// reference of today. Small outputs are kept in full, of larger ones evenly spaced values and a digest.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/cuda/cases/problem.h"

namespace lightcone::models::cuda {

constexpr std::size_t kKeptValues = 256;  // of an output

struct OutputRecord {
  std::string name;
  std::int64_t count = 0;
  double error = 0;                         // relative norm against the truth of that day
  double truth_norm = 0, truth_signed = 0;  // |truth|, and the sum of truth with fixed pseudo-random signs
  std::string digest;                       // of the bytes that the GPU wrote
  Values values;                            // every `every`-th output
  std::int64_t every = 1;
};

struct CaseRecord {
  std::string primitive;  // or a variant of one
  Sizes sizes;
  std::vector<OutputRecord> outputs;
};

struct Recording {
  std::string device;              // as the driver names it
  std::string gpu;                 // as measured tables name it
  std::string compute_capability;  // "9.0"
  std::string driver, toolkit;     // versions
  int clock_mhz = 0;               // of the SMs, while it ran; 0 when NVML does not tell
  std::string date;                // UTC, 2026-01-31T12:00:00Z
  std::uint64_t seed = 0;
  std::vector<CaseRecord> cases;
};

OutputRecord record_output(const OutputSpec& spec, const std::vector<unsigned char>& bytes, const Values& truth);

void write_recording(const Recording& recording, const std::filesystem::path& file);
// Throws ConfigError that names the file when it is no recording.
Recording read_recording(const std::filesystem::path& file);
// The recordings of a folder, by name.
std::vector<std::filesystem::path> recordings_in(const std::filesystem::path& folder);

// Primitives and variants that a GPU of this compute capability is asked for; k: of gemm.
bool runs_on(std::string_view variant, const Sizes& sizes, int major);

// What does not hold any more, one line each: a primitive or shape that is missing, a reference that changed, an error
// above the tolerance. Empty: the recording stands.
std::vector<std::string> recheck(const Recording& recording);

// Primitives and variants that none of the recordings holds.
std::vector<std::string> not_recorded(const std::vector<Recording>& recordings);

// The worst relative error of each primitive, by name.
std::map<std::string, double> worst_errors(const Recording& recording);

}  // namespace lightcone::models::cuda
