// SPDX-License-Identifier: Apache-2.0
// A GPU as checked plain numbers: what the loader returns and every part reads. Each field has a unit in its name or
// type; the source of each value stands beside it in the machine file (hardware/catalog).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/base/number_format.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

// How the tensor core is fed. It decides which kernels the mapping may choose and where operands are read.
enum class TensorCoreGeneration : std::uint8_t {
  mma_sync,  // Ampere: operands in registers, loaded from shared memory by ldmatrix
  wgmma,     // Hopper: a warpgroup of 128 threads, B (and A) read from shared memory
  tcgen05,   // Blackwell: one thread issues, accumulator in tensor memory, two SMs may pair
};

struct ClockSpec {
  Hertz boost;       // highest sustained SM clock; the crossbar and the L2 cache run with it
  Hertz minimum;     // the governor does not go below
  Hertz maximum{0};  // of kernels that leave the tensor cores idle; 0: boost
};

// Rates of one SM, in operations per SM clock.
struct TensorRates {
  TensorCoreGeneration generation = TensorCoreGeneration::mma_sync;
  // FLOP (1 FMA = 2) per clock per SM, dense, by operand format; absent: the format does not run on the tensor core.
  std::map<NumberFormat, double> flops_per_clock;
  Cycles latency;               // from the last operand to a usable accumulator
  double issue_efficiency = 1;  // fraction of the peak that back-to-back matrix instructions reach
  double special_hold = 0;      // part of a matrix instruction's time in which the special-function lanes stand still

  [[nodiscard]] bool has(NumberFormat format) const {
    const auto rate = flops_per_clock.find(format);
    return rate != flops_per_clock.end() && rate->second > 0;
  }
};

struct CopyEngineSpec {  // TMA (Hopper on) or, without one, the cp.async path of the LSU (Ampere)
  bool tma = false;
  double lines_per_clock = 1;           // 128-byte requests an SM can send into the crossbar
  Cycles extra_latency;                 // beyond a plain load (TMA: descriptor fetch, box walk)
  std::uint32_t lines_in_flight = 512;  // bulk-copy requests in flight per SM
};

inline constexpr std::uint32_t kMostSubPartitions = 8;

struct SmSpec {
  std::uint32_t sub_partitions = 4;  // warps are dealt to them; each has its part of the lanes and issue slots
  TensorRates tensor;
  double fp32_lanes = 128;  // FP32 FMA lanes per SM
  double int_lanes = 64;
  double sfu_lanes = 16;        // exp2, rsqrt, ... per clock per SM
  double issue_slots = 4;       // warp instructions per clock per SM
  Bytes shared_memory;          // per SM, usable by CTAs
  Bytes shared_memory_per_cta;  // the most that one CTA may take
  Bytes l1_and_shared;          // the physical array; what CTAs do not take is L1
  double shared_bytes_per_clock = 128;
  Cycles shared_latency;
  Cycles l1_latency;
  double l1_bytes_per_clock = 128;
  std::uint32_t load_lines_in_flight = 256;  // 128-byte lines of plain loads/stores in flight per SM
  std::uint32_t registers = 65536;           // 32-bit, per SM
  std::uint32_t max_threads = 2048;
  std::uint32_t max_ctas = 32;
  Cycles barrier_latency;  // mbarrier / named barrier hand-over between warps
  Cycles cta_launch;       // CTA scheduler to first instruction: block set-up, parameters
  CopyEngineSpec copy;
};

struct NocSpec {            // SM <-> L2 crossbar
  Cycles request_latency;   // SM port to slice, near partition, unloaded
  Cycles response_latency;  // slice to SM port, near partition, unloaded
  double sm_read_bytes_per_clock = 64;
  double sm_write_bytes_per_clock = 64;
  Cycles far_latency;                         // extra, each way, to the other L2 partition
  double partition_link_bytes_per_clock = 0;  // between the partitions, per direction
};

struct L2Spec {
  Bytes capacity;
  std::uint32_t partitions = 2;
  std::uint32_t slices = 80;  // over all partitions
  std::uint32_t ways = 16;
  Bytes line{128};
  Bytes sector{32};
  double slice_bytes_per_clock = 64;  // read
  double slice_write_bytes_per_clock = 64;
  Cycles hit_latency;                   // tag and data pipeline of a slice
  Cycles same_address_atomic{0};        // from one atomic to the next on the same address
  std::uint32_t mshrs_per_slice = 256;  // lines being fetched
  Bytes interleave{512};                // consecutive bytes that stay in one slice
};

// HBM timing in memory-clock cycles (CK), names as in the JEDEC standards (JESD235D HBM2, JESD238 HBM3).
struct HbmTiming {
  Picoseconds tCK;
  std::uint32_t nBL, nCL, nCWL, nRCDRD, nRCDWR, nRP, nRAS, nRC, nWR, nRTP, nCCDS, nCCDL, nRRDS, nRRDL, nFAW, nWTRS,
      nWTRL, nRTW, nRFC, nREFI, nRFCpb, nREFIpb;
};

struct HbmSpec {
  std::string generation;  // "HBM2e", "HBM3", ...
  std::uint32_t stacks = 5;
  std::uint32_t channels_per_stack = 16;
  std::uint32_t pseudo_channels_per_channel = 2;
  std::uint32_t pseudo_channel_bits = 32;
  double gigabits_per_second_per_pin = 5.2;
  std::uint32_t bank_groups = 4;
  std::uint32_t banks_per_group = 4;
  Bytes page{1024};  // row buffer of one pseudo-channel
  Bytes access{32};  // one burst
  HbmTiming timing;
  std::uint32_t queue_depth = 64;  // requests the scheduler sees per pseudo-channel
  bool per_bank_refresh = false;
  Picoseconds controller_latency;  // L2 miss to command queue plus return path, unloaded
  Bytes capacity;

  [[nodiscard]] std::uint32_t pseudo_channels() const {
    return stacks * channels_per_stack * pseudo_channels_per_channel;
  }
  [[nodiscard]] BytesPerSecond peak() const {
    return BytesPerSecond(pseudo_channels() * pseudo_channel_bits / 8.0 * gigabits_per_second_per_pin * 1e9);
  }
};

struct LaunchSpec {
  Seconds graph_kernel;            // kernel to kernel inside a replayed graph
  Seconds stream_kernel;           // kernel to kernel, launched on a stream
  Seconds eager_framework;         // host-bound operator launch of a Python framework (validation of eager data only)
  double cta_dispatch_cycles = 1;  // the CTA scheduler starts one CTA somewhere on the GPU every so many cycles
  Cycles kernel_start;             // first CTA's cold start: instruction and constant caches, descriptors
  Cycles kernel_end;               // last store visible and completion reported
};

// Energy at the reference clock's voltage. Dynamic energy scales with voltage squared when the clock is another.
struct PowerSpec {
  Watts limit;  // board power limit
  Watts idle;   // clocks up, nothing running
  std::map<NumberFormat, double> tensor_pj_per_flop;
  double fp32_pj_per_flop = 0;
  double sfu_pj_per_op = 0;
  double shared_pj_per_byte = 0;
  double l2_pj_per_byte = 0;      // L2 slice and crossbar
  double hbm_pj_per_byte = 0;     // whole path beyond L2: controller, PHY, DRAM
  double sm_active_watts = 0;     // per SM with a resident CTA: issue, register file clocks
  Hertz reference;                // SM clock at whose voltage all these hold
  double voltage_exponent = 0.5;  // V/Vreference = (f/freference)^exponent
};

// Where a value came from; shown by `describe`, carried into every result.
struct ParameterSource {
  std::string path;    // field path below `gpu`
  std::string source;  // citation, or "calibrated: <data set>", or "assumed: <why>"
};

struct GpuSpec {
  std::string name;
  std::string vendor;
  std::vector<std::string> aliases;  // names used by measured data sets
  std::uint32_t sm_count = 0;
  ClockSpec clock;
  SmSpec sm;
  NocSpec noc;
  L2Spec l2;
  HbmSpec hbm;
  LaunchSpec launch;
  PowerSpec power;
  std::vector<ParameterSource> sources;

  // From an SM through the crossbar to a slice of its own partition and back, a hit, without queues.
  [[nodiscard]] Cycles near_l2_latency() const { return noc.request_latency + l2.hit_latency + noc.response_latency; }
};

}  // namespace lightcone::hardware
