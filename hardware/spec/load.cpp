// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/load.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <utility>

#include "hardware/machine.pb.h"
#include "hardware/spec/load_fabric.h"
#include "hardware/spec/sources.h"
#include "sim/base/message_reader.h"
#include "sim/base/resources.h"
#include "sim/base/textproto_overlay.h"

namespace lightcone::hardware {
namespace {

Cycles clocks(const MessageReader& from, const std::string& field) {
  return Cycles(from.integer(field, {0, 1u << 20}));
}
Bytes bytes(const MessageReader& from, const std::string& field) {
  return Bytes(from.integer(field, {1, std::uint64_t{1} << 50}));
}

// Rates of one SM, slice or port per clock. Beyond these a simulation would only run out of numbers.
constexpr RealBounds kRate{1e-3, true, 1e9};

// Address maps and banks are selected by bits.
void must_be_power_of_two(const MessageReader& from, const std::string& field, std::uint64_t value) {
  if (!std::has_single_bit(value)) from.fault(field, fmt::format("must be a power of two, got {}", value));
}

ClockSpec read_clock(const MessageReader& from) {
  const RealBounds range{0.001, true, 100};
  ClockSpec out{Hertz(from.real("boost_ghz", range) * 1e9), Hertz(from.real("minimum_ghz", range) * 1e9), Hertz(0)};
  if (out.minimum > out.boost) from.fault("minimum_ghz", "must not be above boost_ghz");
  if (from.has("maximum_ghz")) out.maximum = Hertz(from.real("maximum_ghz", range) * 1e9);
  if (out.maximum.count() > 0 && out.maximum < out.boost) from.fault("maximum_ghz", "must not be below boost_ghz");
  return out;
}

TensorRates read_tensor(const MessageReader& from) {
  TensorRates out;
  out.generation = static_cast<TensorCoreGeneration>(std::max(0, from.enumeration("generation") - 1));
  for (const MessageReader& rate : from.children("rate")) {
    if (!rate.has("name")) {
      rate.fault("name", "is missing: the number format");
      continue;
    }
    out.flops_per_clock[rate.number_format("name")] = rate.real("flops_per_clock", kRate);
  }
  if (!from.has("rate")) from.fault("rate", "is missing: at least one number format must have a rate");
  out.latency = clocks(from, "latency_clocks");
  out.issue_efficiency = from.real("issue_efficiency", kFraction);
  out.special_hold = from.real("special_hold", {0, true, 1});
  return out;
}

CopyEngineSpec read_copy(const MessageReader& from) {
  CopyEngineSpec out;
  out.tma = from.boolean("tma");
  out.lines_per_clock = from.real("lines_per_clock", kRate);
  out.extra_latency = clocks(from, "extra_latency_clocks");
  out.lines_in_flight = from.integer32("lines_in_flight", {1, 1u << 20});
  return out;
}

void read_sm_memory(const MessageReader& from, SmSpec& out) {
  out.shared_memory = bytes(from, "shared_memory_bytes");
  out.shared_memory_per_cta = bytes(from, "shared_memory_per_cta_bytes");
  out.l1_and_shared = Bytes(from.integer("l1_and_shared_bytes", {1, 1u << 24}));
  if (out.shared_memory > out.l1_and_shared)
    from.fault("shared_memory_bytes", "must not be above l1_and_shared_bytes, the array that holds it");
  if (out.shared_memory_per_cta > out.shared_memory)
    from.fault("shared_memory_per_cta_bytes", "must not be above shared_memory_bytes");
  out.shared_bytes_per_clock = from.real("shared_bytes_per_clock", kRate);
  out.shared_latency = clocks(from, "shared_latency_clocks");
  out.l1_latency = clocks(from, "l1_latency_clocks");
  out.l1_bytes_per_clock = from.real("l1_bytes_per_clock", kRate);
  out.load_lines_in_flight = from.integer32("load_lines_in_flight", {1, 1u << 20});
}

SmSpec read_sm(const MessageReader& from) {
  SmSpec out;
  out.sub_partitions = from.integer32("sub_partitions", {1, kMostSubPartitions});
  out.tensor = read_tensor(from.child("tensor"));
  out.fp32_lanes = from.real("fp32_lanes", kRate);
  out.int_lanes = from.real("int_lanes", kRate);
  out.sfu_lanes = from.real("sfu_lanes", kRate);
  out.issue_slots = from.real("issue_slots", kRate);
  read_sm_memory(from, out);
  out.registers = from.integer32("registers", {1024, 1u << 24});
  out.max_threads = from.integer32("max_threads", {32, 1u << 16});
  out.max_ctas = from.integer32("max_ctas", {1, 1024});
  out.barrier_latency = clocks(from, "barrier_latency_clocks");
  out.cta_launch = clocks(from, "cta_launch_clocks");
  out.copy = read_copy(from.child("copy"));
  return out;
}

NocSpec read_noc(const MessageReader& from) {
  NocSpec out;
  out.request_latency = clocks(from, "request_latency_clocks");
  out.response_latency = clocks(from, "response_latency_clocks");
  out.sm_read_bytes_per_clock = from.real("sm_read_bytes_per_clock", kRate);
  out.sm_write_bytes_per_clock = from.real("sm_write_bytes_per_clock", kRate);
  out.far_latency = clocks(from, "far_latency_clocks");
  out.partition_link_bytes_per_clock = from.real("partition_link_bytes_per_clock", kNotNegative);
  return out;
}

// What the tags can name (hardware/parts): 128-byte lines of four sectors, sixteen ways, so many lines in a slice.
constexpr std::uint64_t kLineBytes = 128, kSectorBytes = 32, kMostLinesOfSlice = 1u << 18;

void check_l2(const MessageReader& from, const L2Spec& l2) {
  if (l2.line.count() != kLineBytes)
    from.fault("line_bytes", fmt::format("must be {}: other lines are not modelled", kLineBytes));
  if (l2.sector.count() != kSectorBytes)
    from.fault("sector_bytes", fmt::format("must be {}: other sectors are not modelled", kSectorBytes));
  const std::uint64_t of_slice = l2.capacity.count() / l2.line.count() / l2.slices;
  if (of_slice > kMostLinesOfSlice)
    from.fault("capacity_bytes", fmt::format("must be at most {} x slices = {}", kMostLinesOfSlice * kLineBytes,
                                             kMostLinesOfSlice * kLineBytes * l2.slices));
  // Each partition needs a register for lines at home and one for copies, or two slices could wait for each other.
  if (l2.mshrs_per_slice < l2.partitions)
    from.fault("mshrs_per_slice", fmt::format("must be at least {}, the number of partitions", l2.partitions));
  if (l2.slices % l2.partitions != 0)
    from.fault("slices", fmt::format("{} slices do not divide into {} partitions", l2.slices, l2.partitions));
  if (l2.interleave.count() % l2.line.count() != 0 || !std::has_single_bit(l2.interleave.count() / l2.line.count()))
    from.fault("interleave_bytes", "must be line_bytes times a power of two");
  const std::uint64_t set = l2.slices * std::uint64_t{l2.ways} * l2.line.count();
  if (l2.capacity.count() % set != 0) {
    const std::uint64_t below = l2.capacity.count() / set * set;
    from.fault("capacity_bytes", fmt::format("must be a multiple of slices x ways x line_bytes = {}, such as {}", set,
                                             below == 0 ? set : below));
  }
}

L2Spec read_l2(const MessageReader& from) {
  L2Spec out;
  out.capacity = Bytes(from.integer("capacity_bytes", {1, std::uint64_t{1} << 32}));
  out.partitions = from.integer32("partitions", {1, 2});
  out.slices = from.integer32("slices", {1, 4096});
  out.ways = from.integer32("ways", {1, 16});
  out.line = Bytes(from.integer("line_bytes", {16, 4096}));
  out.sector = Bytes(from.integer("sector_bytes", {16, 4096}));
  out.slice_bytes_per_clock = from.real("slice_bytes_per_clock", kRate);
  out.slice_write_bytes_per_clock = from.real("slice_write_bytes_per_clock", kRate);
  out.hit_latency = clocks(from, "hit_latency_clocks");
  out.same_address_atomic = clocks(from, "same_address_atomic_clocks");
  out.mshrs_per_slice = from.integer32("mshrs_per_slice", {1, 1u << 20});
  out.interleave = Bytes(from.integer("interleave_bytes", {16, 1u << 30}));
  check_l2(from, out);
  return out;
}

// Nanoseconds to whole memory clocks, rounded up as a controller must.
class ClockConverter {
 public:
  ClockConverter(const MessageReader& from, double clock_ns) : from_(from), clock_ns_(clock_ns) {}
  [[nodiscard]] std::uint32_t operator()(const std::string& field) const {
    return static_cast<std::uint32_t>(std::ceil(from_.real(field, {0, true, 1e6}) / clock_ns_ - 1e-6));
  }

 private:
  const MessageReader& from_;
  double clock_ns_;
};

// `burst_ns`: one access on the pins. The clock is rounded up to whole picoseconds: never faster than the pins.
HbmTiming read_timing(const MessageReader& from, double burst_ns) {
  HbmTiming out{};
  out.nBL = from.integer32("burst_clocks", {1, 64});
  out.tCK = Picoseconds(static_cast<std::uint64_t>(std::ceil(burst_ns * 1e3 / out.nBL - 1e-6)));
  out.nCCDS = from.integer32("ccds_clocks", {1, 64});
  out.nCCDL = from.integer32("ccdl_clocks", {1, 64});
  const ClockConverter in_clocks(from, static_cast<double>(out.tCK.count()) * 1e-3);
  out.nCL = in_clocks("cl_ns");
  out.nCWL = in_clocks("cwl_ns");
  out.nRCDRD = in_clocks("rcdrd_ns");
  out.nRCDWR = in_clocks("rcdwr_ns");
  out.nRP = in_clocks("rp_ns");
  out.nRAS = in_clocks("ras_ns");
  out.nRC = in_clocks("rc_ns");
  out.nWR = in_clocks("wr_ns");
  out.nRTP = in_clocks("rtp_ns");
  out.nRRDS = in_clocks("rrds_ns");
  out.nRRDL = in_clocks("rrdl_ns");
  out.nFAW = in_clocks("faw_ns");
  out.nWTRS = in_clocks("wtrs_ns");
  out.nWTRL = in_clocks("wtrl_ns");
  out.nRTW = in_clocks("rtw_ns");
  out.nRFC = in_clocks("rfc_ns");
  out.nREFI = in_clocks("refi_ns");
  out.nRFCpb = in_clocks("rfcpb_ns");
  out.nREFIpb = in_clocks("refipb_ns");
  if (out.nREFI != 0 && out.nRFC >= out.nREFI) from.fault("rfc_ns", "must be below refi_ns: no time is left for data");
  if (out.nREFIpb != 0 && out.nRFCpb >= out.nREFI)
    from.fault("rfcpb_ns", "must be below refi_ns: no time is left for data");
  return out;
}

void check_banks(const MessageReader& from, const HbmSpec& hbm) {
  must_be_power_of_two(from, "bank_groups", hbm.bank_groups);
  must_be_power_of_two(from, "banks_per_group", hbm.banks_per_group);
  must_be_power_of_two(from, "page_bytes", hbm.page.count());
  must_be_power_of_two(from, "access_bytes", hbm.access.count());
  if (hbm.bank_groups * hbm.banks_per_group > 64)
    from.fault("banks_per_group", "at most 64 banks per pseudo-channel are modelled");
  if (hbm.access > hbm.page) from.fault("access_bytes", "must not be above page_bytes");
  constexpr std::uint64_t kMostChannels = 8192;
  const std::uint64_t channels = std::uint64_t{hbm.stacks} * hbm.channels_per_stack * hbm.pseudo_channels_per_channel;
  if (channels > kMostChannels)
    from.fault("channels_per_stack",
               fmt::format("at most {} pseudo-channels are modelled, got {}", kMostChannels, channels));
}

void check_memory_clock(const MessageReader& from, const MessageReader& timing, const HbmSpec& hbm) {
  // The clock is a whole number of picoseconds; far below this, rounding would be felt.
  constexpr std::uint64_t kLeastClock = 50;
  if (hbm.timing.tCK.count() < kLeastClock)
    from.fault("gigabits_per_second_per_pin",
               fmt::format("makes one of the {} clocks of a burst {} ps; must be at least {} ps", hbm.timing.nBL,
                           hbm.timing.tCK.count(), kLeastClock));
  const std::uint64_t round = std::uint64_t{hbm.timing.nREFIpb} * hbm.bank_groups * hbm.banks_per_group;
  if (hbm.per_bank_refresh && round != 0 && hbm.timing.nRFCpb >= round)
    timing.fault("rfcpb_ns", "must be below refipb_ns times the number of banks: no time is left for data");
}

HbmSpec read_hbm(const MessageReader& from) {
  HbmSpec out;
  out.generation = from.text("generation");
  out.stacks = from.integer32("stacks", {1, 256});
  out.channels_per_stack = from.integer32("channels_per_stack", {1, 1024});
  out.pseudo_channels_per_channel = from.integer32("pseudo_channels_per_channel", {1, 16});
  out.pseudo_channel_bits = from.integer32("pseudo_channel_bits", {8, 1024});
  out.gigabits_per_second_per_pin = from.real("gigabits_per_second_per_pin", {0, false, 1000});
  out.bank_groups = from.integer32("bank_groups", {1, 16});
  out.banks_per_group = from.integer32("banks_per_group", {1, 16});
  out.page = Bytes(from.integer("page_bytes", {kLineBytes, 1u << 20}));
  out.access = Bytes(from.integer("access_bytes", {8, 1024}));
  check_banks(from, out);
  out.per_bank_refresh = from.boolean("per_bank_refresh");
  const double burst_ns = out.access.real() * 8 / (out.pseudo_channel_bits * out.gigabits_per_second_per_pin);
  const MessageReader timing = from.child("timing");
  out.timing = read_timing(timing, burst_ns);
  check_memory_clock(from, timing, out);
  out.queue_depth = from.integer32("queue_depth", {1, 4096});
  out.controller_latency = to_picoseconds(Seconds(from.real("controller_latency_ns", {0, true, 1e6}) * 1e-9));
  out.capacity = Bytes(from.integer("capacity_bytes_per_stack", {1, std::uint64_t{1} << 44}) * out.stacks);
  return out;
}

LaunchSpec read_launch(const MessageReader& from) {
  const RealBounds range{0, true, 1e6};
  LaunchSpec out;
  out.graph_kernel = Seconds(from.real("graph_kernel_us", range) * 1e-6);
  out.stream_kernel = Seconds(from.real("stream_kernel_us", range) * 1e-6);
  out.eager_framework = Seconds(from.real("eager_framework_us", range) * 1e-6);
  out.cta_dispatch_cycles = from.real("cta_dispatch_clocks");
  out.kernel_start = clocks(from, "kernel_start_clocks");
  out.kernel_end = clocks(from, "kernel_end_clocks");
  return out;
}

PowerSpec read_power(const MessageReader& from) {
  PowerSpec out;
  out.limit = Watts(from.real("limit_watts"));
  out.idle = Watts(from.real("idle_watts", kNotNegative));
  if (out.idle >= out.limit) from.fault("idle_watts", "must be below limit_watts");
  for (const MessageReader& tensor : from.children("tensor")) {
    if (!tensor.has("name")) {
      tensor.fault("name", "is missing: the number format");
      continue;
    }
    out.tensor_pj_per_flop[tensor.number_format("name")] = tensor.real("pj_per_flop", kNotNegative);
  }
  out.fp32_pj_per_flop = from.real("fp32_pj_per_flop", kNotNegative);
  out.sfu_pj_per_op = from.real("sfu_pj_per_op", kNotNegative);
  out.shared_pj_per_byte = from.real("shared_pj_per_byte", kNotNegative);
  out.l2_pj_per_byte = from.real("l2_pj_per_byte", kNotNegative);
  out.hbm_pj_per_byte = from.real("hbm_pj_per_byte", kNotNegative);
  out.sm_active_watts = from.real("sm_active_watts", kNotNegative);
  out.reference = Hertz(from.real("reference_ghz", {0, false, 100}) * 1e9);
  out.voltage_exponent = from.real("voltage_exponent", {0, true, 10});
  return out;
}

// Every format that the tensor core runs must have an energy, else its kernels would look free.
void check_energy(const MessageReader& power, const GpuSpec& gpu) {
  for (const auto& [format, rate] : gpu.sm.tensor.flops_per_clock) {
    if (gpu.power.tensor_pj_per_flop.count(format) == 0)
      power.fault("tensor", fmt::format("has no energy for {}, which the tensor core runs", name(format)));
  }
}

GpuSpec read_gpu(const MessageReader& from) {
  GpuSpec out;
  out.name = from.text("name");
  out.vendor = from.text_or("vendor", "");
  out.aliases = from.texts("aliases");
  out.sm_count = from.integer32("sm_count", {1, 4096});
  out.clock = read_clock(from.child("clock"));
  out.sm = read_sm(from.child("sm"));
  out.noc = read_noc(from.child("noc"));
  out.l2 = read_l2(from.child("l2"));
  out.hbm = read_hbm(from.child("hbm"));
  out.launch = read_launch(from.child("launch"));
  const MessageReader power = from.child("power");
  out.power = read_power(power);
  check_energy(power, out);
  return out;
}

}  // namespace

std::string find_machine_base(const std::string& name, const FieldOrigin& where) {
  try {
    const std::string folder = std::filesystem::path(where.where().file).parent_path().string();
    return find_catalog_file("machine", kMachineCatalog, name, folder);
  } catch (const ConfigError& error) {
    if (where.where().file.empty()) throw;
    throw ConfigError({where.diagnostic("base", error.what())});
  }
}

std::unique_ptr<google::protobuf::Message> new_machine_message() { return std::make_unique<proto::Machine>(); }

MachineSpec to_machine_spec(const google::protobuf::Message& message, const FieldLocations& locations) {
  LIGHTCONE_ASSERT(message.GetDescriptor() == proto::Machine::descriptor());
  std::vector<Diagnostic> faults;
  const MessageReader from(&message, locations, faults);
  MachineSpec out;
  out.name = from.text("name");
  out.gpu = read_gpu(from.child("gpu"));
  out.gpu_count = static_cast<std::uint32_t>(from.integer_or("gpu_count", 1));
  if (from.has("fabric")) {
    const std::size_t faults_before = faults.size();
    out.fabric = read_fabric(from.child("fabric"));
    if (faults.size() == faults_before && out.gpu_count != out.fabric->gpu_count())
      from.fault("gpu_count",
                 fmt::format("must be {}, the GPUs of the fabric, got {}", out.fabric->gpu_count(), out.gpu_count));
  } else if (out.gpu_count != 1) {
    from.fault("gpu_count", "must be 1: a machine of several GPUs needs a fabric");
  }
  if (!faults.empty()) throw ConfigError(std::move(faults));
  const auto& machine = static_cast<const proto::Machine&>(message);
  out.gpu.sources = parameter_sources(machine.gpu(), locations.below("gpu"));
  if (out.fabric) out.fabric_sources = parameter_sources(machine.fabric(), locations.below("fabric"));
  return out;
}

MachineSpec load_machine(const std::string& name_or_path) {
  proto::Machine message;
  const std::string file = find_catalog_file("machine", kMachineCatalog, name_or_path);
  const FieldLocations locations = load_over_base(file, message, find_machine_base);
  return to_machine_spec(message, locations);
}

std::vector<std::string> list_machines() { return catalog_names(kMachineCatalog); }

}  // namespace lightcone::hardware
