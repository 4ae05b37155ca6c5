// SPDX-License-Identifier: Apache-2.0
// C = A B^T on Hopper: one warp lets the TMA fill a ring of stages in shared memory, two warpgroups multiply from it
// with wgmma. CTA tiles of 128 x 128 x 64, 64 rows per warpgroup. Built for sm_90a alone. Section numbers: PTX ISA 9.0.
// Not done: persistent CTAs, clusters with multicast, an epilogue through shared memory.
#include <cuda.h>

#include "models/cuda/kernels/device_launch.h"

namespace lightcone::models::cuda {

void gemm_wgmma(DeviceRun& run, const Arguments& args);

namespace {

constexpr int kM = 128, kN = 128, kK = 64, kStages = 5;
constexpr int kConsumerWarps = 8, kThreads = 32 * (kConsumerWarps + 1);
constexpr int kTileBytes = kM * kK * 2;  // a row of a tile is 128 bytes, one period of the swizzle
static_assert(kM == kN);

struct alignas(1024) Stages {  // 128-byte swizzle repeats every 1024 bytes (9.7.15.5.1.2)
  Bf16 a[kStages][kM * kK];
  Bf16 b[kStages][kN * kK];
  std::uint64_t full[kStages], empty[kStages];
};

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- mbarrier (9.7.13.15) ----------------------------------------------------------------------------------------

__device__ __forceinline__ void init_barrier(std::uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier)) : "memory");
}
// One arrival, and so many bytes of asynchronous copies to come before the phase completes.
__device__ __forceinline__ void arrive_expecting(std::uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
// Until the phase of this parity has completed. Of a fresh barrier, the phase of parity 1 has.
__device__ __forceinline__ void wait_for(std::uint64_t* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// ---- TMA (9.7.9.27.5.2, cp.async.bulk.tensor): a box of the map at (column, row); outside of the matrix, zeros
// --------

__device__ __forceinline__ void load_box(void* to, const CUtensorMap& map, int column, int row,
                                         std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(
          shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// ---- wgmma (9.7.15) -----------------------------------------------------------------------------------------------

// A K-major tile with rows of 128 bytes, swizzled over 128 (9.7.15.5.1.3): start address / 16 in bits 0-13; leading
// dimension offset in 16-29, not used for this layout; stride offset / 16 in 32-45: 1024 bytes from one group of eight
// rows to the next; base offset 0 in 49-51; swizzling mode 1 in 62-63.
__device__ __forceinline__ std::uint64_t descriptor(const Bf16* tile) {
  const std::uint64_t start = (shared_address(tile) & 0x3FFFF) >> 4;
  return start | 1ull << 16 | (1024ull >> 4) << 32 | 1ull << 62;
}

__device__ __forceinline__ void fence_registers() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void commit_group() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
}

#define ROW8(d, i)                                                                                            \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])

// D[64, 128] += A[64, 16] B[128, 16]^T (9.7.15.5.2): both from shared memory, neither negated nor transposed.
__device__ __forceinline__ void multiply(float (&d)[64], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"
      "%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,"
      "%58,%59,%60,%61,%62,%63}, %64, %65, 1, 1, 1, 0, 0;\n"
      : ROW8(d, 0), ROW8(d, 8), ROW8(d, 16), ROW8(d, 24), ROW8(d, 32), ROW8(d, 40), ROW8(d, 48), ROW8(d, 56)
      : "l"(a), "l"(b));
}
#undef ROW8

__device__ __forceinline__ void produce(Stages& s, const CUtensorMap& a, const CUtensorMap& b, int steps) {
  const int m0 = static_cast<int>(blockIdx.y) * kM, n0 = static_cast<int>(blockIdx.x) * kN;
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages, round = step / kStages;
    wait_for(&s.empty[stage], (round & 1) ^ 1);
    arrive_expecting(&s.full[stage], 2 * kTileBytes);  // whole boxes, what lies outside included
    load_box(s.a[stage], a, step * kK, m0, &s.full[stage]);
    load_box(s.b[stage], b, step * kK, n0, &s.full[stage]);
  }
}

__device__ __forceinline__ void consume(Stages& s, Bf16* c, int m, int n, int steps) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, group = warp / 4;
  float d[64];
  LIGHTCONE_UNROLL for (int i = 0; i < 64; ++i) d[i] = 0;
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages, round = step / kStages;
    wait_for(&s.full[stage], round & 1);
    const std::uint64_t a = descriptor(s.a[stage] + group * 64 * kK), b = descriptor(s.b[stage]);
    fence_registers();
    // 16 values further along K are 32 bytes further inside the swizzled row: 2 in units of 16.
    LIGHTCONE_UNROLL for (int k = 0; k < kK / 16; ++k) multiply(d, a + 2 * k, b + 2 * k);
    commit_group();
    wait_group<1>();  // what read the stage before is done; every warp of it says so
    if (step > 0 && lane == 0) arrive(&s.empty[(step - 1) % kStages]);
  }
  wait_group<0>();
  // Registers of D: as of mma.m16n8 in every 8 columns, 16 rows per warp (9.7.15.5.1.1.2).
  const int row = static_cast<int>(blockIdx.y) * kM + group * 64 + warp % 4 * 16 + lane / 4;
  const int column = static_cast<int>(blockIdx.x) * kN + lane % 4 * 2;
  LIGHTCONE_UNROLL for (int i = 0; i < 64; ++i) {
    const int r = row + i % 4 / 2 * 8, at = column + i / 4 * 8 + i % 2;
    if (r < m && at < n) c[static_cast<std::int64_t>(r) * n + at] = to_bf16(d[i]);
  }
}

__global__ void __launch_bounds__(kThreads)
    wgmma_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, Bf16* c, int m, int n,
                 int k) {
  extern __shared__ unsigned char storage[];
  const std::uint32_t unaligned = shared_address(storage) % alignof(Stages);
  Stages& s = *reinterpret_cast<Stages*>(storage + (unaligned == 0 ? 0 : alignof(Stages) - unaligned));
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(&s.full[i], 1);
      init_barrier(&s.empty[i], kConsumerWarps);
    }
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");  // 9.7.13.4: also for the TMA's eyes
  }
  __syncthreads();
  const int steps = (k + kK - 1) / kK;
  if (threadIdx.x / 32 == kConsumerWarps) {
    if (threadIdx.x % 32 == 0) produce(s, a, b, steps);
  } else {
    consume(s, c, m, n, steps);
  }
}

// A map of a row-major matrix of bf16, in boxes of kM x kK.
CUtensorMap map_of(const void* matrix, int rows, int columns) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
               "cuTensorMapEncodeTiled");
    return reinterpret_cast<Encode>(function);
  }();
  if (encode == nullptr) throw std::runtime_error("the driver has no cuTensorMapEncodeTiled");
  CUtensorMap map{};
  const cuuint64_t size[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[1] = {static_cast<cuuint64_t>(columns) * 2};
  const cuuint32_t box[2] = {kK, kM}, step[2] = {1, 1};
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(matrix), size, stride,
                                 box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw std::runtime_error("cuTensorMapEncodeTiled: error " + std::to_string(int(result)));
  }
  return map;
}

}  // namespace

void gemm_wgmma(DeviceRun& run, const Arguments& args) {
  const int m = args.size("m"), n = args.size("n"), k = args.size("k");
  if (k % 8 != 0) throw std::invalid_argument("gemm_wgmma: k must be a multiple of 8");
  constexpr int kShared = int(sizeof(Stages) + alignof(Stages));
  check_cuda(cudaFuncSetAttribute(wgmma_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared),
             "shared memory of the wgmma kernel");
  const dim3 grid(static_cast<unsigned>(ceil_div(n, kN)), static_cast<unsigned>(ceil_div(m, kM)));
  wgmma_kernel<<<grid, kThreads, kShared, run.stream()>>>(map_of(args.inputs[0], m, k), map_of(args.inputs[1], n, k),
                                                          args.output<Bf16>(0), m, n, k);
  check_cuda(cudaGetLastError(), "launch of the wgmma kernel");
}

}  // namespace lightcone::models::cuda
