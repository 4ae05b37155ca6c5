// SPDX-License-Identifier: Apache-2.0
#include "workloads/load.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "sim/base/message_reader.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"
#include "workloads/plan.pb.h"
#include "workloads/workload.pb.h"

namespace lightcone::workloads {
namespace {

static_assert(proto::Formats::NumberFormat_MAX == static_cast<int>(kNumberFormats.size()));
static_assert(proto::Formats::fp64 - 1 == static_cast<int>(NumberFormat::fp64));
static_assert(proto::Formats::nvfp4 - 1 == static_cast<int>(NumberFormat::nvfp4));

static_assert(proto::Plan::gather - 1 == static_cast<int>(ContextScheme::gather));
static_assert(proto::Plan::zero_bubble - 1 == static_cast<int>(PipelineSchedule::zero_bubble));

void check_product(const MessageReader& from, const std::string& field, std::uint64_t batch, std::uint64_t tokens) {
  if (batch > kMostTokens / tokens)
    from.fault(field, fmt::format("{} sequences of {} tokens are more than the {} tokens of one pass that are accepted",
                                  batch, tokens, kMostTokens));
}

Prefill read_prefill(const MessageReader& from) {
  const Prefill out{from.integer("batch", {1, kMostBatch}), from.integer("prompt_tokens", {1, kMostTokensPerSequence})};
  check_product(from, "prompt_tokens", out.batch, out.prompt_tokens);
  return out;
}

// A step attends to the new token and to one before it at least; a first token alone is a prefill of one.
Decode read_decode(const MessageReader& from) {
  const Decode out{from.integer("batch", {1, kMostBatch}), from.integer("context_tokens", {2, kMostTokensPerSequence})};
  check_product(from, "context_tokens", out.batch, out.context_tokens);
  return out;
}

NumberFormat read_format(const MessageReader& from, const std::string& field) {
  const int value = from.enumeration(field);
  return value == 0 ? NumberFormat::bf16 : static_cast<NumberFormat>(value - 1);
}

static_assert(proto::Training::full - 1 == static_cast<int>(models::Recomputation::full));

constexpr std::uint64_t kMostMicroBatches = 1024;  // the timeline shows the kernels of every one

Training read_training(const MessageReader& from) {
  Training out;
  out.batch = from.integer("batch", {1, kMostBatch});
  out.sequence_tokens = from.integer("sequence_tokens", {1, kMostTokensPerSequence});
  out.micro_batches = from.integer("micro_batches", {1, kMostMicroBatches});
  const int recomputation = from.enumeration("recomputation");
  if (recomputation > 0) out.recomputation = static_cast<models::Recomputation>(recomputation - 1);
  out.gradients = read_format(from, "gradients");
  check_product(from, "sequence_tokens", out.batch, out.sequence_tokens);
  return out;
}

Phase read_phase(const MessageReader& from) {
  if (from.has("decode")) return read_decode(from.child("decode"));
  if (from.has("prefill")) return read_prefill(from.child("prefill"));
  if (from.has("training")) return read_training(from.child("training"));
  from.fault("",
             "has no phase; give prefill { batch prompt_tokens }, decode { batch context_tokens } or training { batch "
             "sequence_tokens micro_batches recomputation gradients }");
  return Prefill{};
}

// One format for weights and activations, and what a master copy in fp32 makes sense for.
void check_training(const Training& training, const TensorFormats& formats, const MessageReader& from) {
  const bool trained = formats.weights == NumberFormat::bf16 || formats.weights == NumberFormat::fp16 ||
                       formats.weights == NumberFormat::fp32;
  if (!trained) {
    from.fault("formats.weights", fmt::format("training in {} is not modelled; allowed: bf16, fp16, fp32",
                                              lightcone::name(formats.weights)));
  }
  if (formats.activations != formats.weights)
    from.fault("formats.activations",
               fmt::format("must be {}, as the weights are, for training", lightcone::name(formats.weights)));
  if (training.gradients != formats.weights && training.gradients != NumberFormat::fp32)
    from.fault("training.gradients",
               fmt::format("must be {}, as the weights are, or fp32", lightcone::name(formats.weights)));
}

}  // namespace

std::string find_workload_base(const std::string& name, const FieldOrigin& where) {
  try {
    const std::string folder = std::filesystem::path(where.where().file).parent_path().string();
    return find_catalog_file("workload", kWorkloadCatalog, name, folder);
  } catch (const ConfigError& error) {
    if (where.where().file.empty()) throw;
    throw ConfigError({where.diagnostic("base", error.what())});
  }
}

std::unique_ptr<google::protobuf::Message> new_workload_message() { return std::make_unique<proto::Workload>(); }

WorkloadSpec to_workload_spec(const google::protobuf::Message& message, const FieldLocations& locations) {
  LIGHTCONE_ASSERT(message.GetDescriptor() == proto::Workload::descriptor());
  std::vector<Diagnostic> faults;
  const MessageReader from(&message, locations, faults);
  WorkloadSpec out;
  out.name = from.text_or("name", "");
  out.phase = read_phase(from);
  const MessageReader formats = from.child("formats");
  const Training* training = std::get_if<Training>(&out.phase);
  out.formats.weights = read_format(formats, "weights");
  out.formats.activations = read_format(formats, "activations");
  // Training keeps no KV cache.
  out.formats.kv = training == nullptr || formats.has("kv") ? read_format(formats, "kv") : out.formats.activations;
  if (training != nullptr && faults.empty()) check_training(*training, out.formats, from);
  out.launch = from.enumeration("launch") == proto::Workload::stream ? LaunchMode::stream : LaunchMode::graph;
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return out;
}

WorkloadSpec load_workload(const std::string& name_or_path) {
  proto::Workload message;
  const std::string file = find_catalog_file("workload", kWorkloadCatalog, name_or_path);
  const FieldLocations locations = load_over_base(file, message, find_workload_base);
  return to_workload_spec(message, locations);
}

std::vector<std::string> list_workloads() { return catalog_names(kWorkloadCatalog); }

}  // namespace lightcone::workloads
