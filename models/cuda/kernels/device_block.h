// SPDX-License-Identifier: Apache-2.0
// A CTA as kernels see it, on a GPU: thread and CTA indices, shared memory, barriers, and the instructions that have no
// C++ name. host_block.h gives the same to a CPU. PTX ISA 9.0; its sections are named at each instruction.
#pragma once

#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

struct DeviceBlock {
  LIGHTCONE_DEVICE static int thread() { return static_cast<int>(threadIdx.x); }
  LIGHTCONE_DEVICE static int lane() { return thread() % 32; }
  LIGHTCONE_DEVICE static int warp() { return thread() / 32; }
  LIGHTCONE_DEVICE static int x() { return static_cast<int>(blockIdx.x); }
  LIGHTCONE_DEVICE static int y() { return static_cast<int>(blockIdx.y); }
  LIGHTCONE_DEVICE static int z() { return static_cast<int>(blockIdx.z); }
  LIGHTCONE_DEVICE static int grid_y() { return static_cast<int>(gridDim.y); }

  // The CTA's dynamic shared memory; not initialised.
  template <class T>
  LIGHTCONE_DEVICE static T& shared() {
    extern __shared__ __align__(128) unsigned char storage[];
    return *reinterpret_cast<T*>(storage);
  }
  LIGHTCONE_DEVICE static void sync() { __syncthreads(); }
  LIGHTCONE_DEVICE static void sync_warp() { __syncwarp(); }

  // All 32 lanes take part in these.
  LIGHTCONE_DEVICE static float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, v, mask); }
  LIGHTCONE_DEVICE static int shuffle_xor(int v, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, v, mask); }
  LIGHTCONE_DEVICE static float shuffle_up(float v, int by) {
    return __shfl_up_sync(0xFFFFFFFFu, v, static_cast<unsigned>(by));
  }
  LIGHTCONE_DEVICE static float shuffle(float v, int lane) { return __shfl_sync(0xFFFFFFFFu, v, lane); }

  // 16 bytes from global to shared memory, both aligned, or 16 bytes of zeros (9.7.9.25.3.1, cp.async with src-size).
  LIGHTCONE_DEVICE static void copy_async(void* to, const void* from, bool valid) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
  }
  // Copies since the last commit form a group (9.7.9.25.3.2); wait until at most kPending groups of this thread are
  // under way (9.7.9.25.3.3). What other threads copied is visible only after a barrier.
  LIGHTCONE_DEVICE static void commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
  template <int kPending>
  LIGHTCONE_DEVICE static void wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
  }

  // Four 8x8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8 (9.7.14.5.15, ldmatrix).
  // Register j of lane l: row l / 4 of matrix j, columns 2 (l % 4) and one more; transposed: the same of its transpose.
  LIGHTCONE_DEVICE static void load_matrices(std::uint32_t (&r)[4], const Bf16* row) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
  LIGHTCONE_DEVICE static void load_matrices_transposed(std::uint32_t (&r)[4], const Bf16* row) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
  // D[16, 8] += A[16, 16] B[16, 8] of one warp (9.7.14.5.14, mma.m16n8k16; fragments 9.7.14.5.8).
  LIGHTCONE_DEVICE static void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

}  // namespace lightcone::models::cuda
