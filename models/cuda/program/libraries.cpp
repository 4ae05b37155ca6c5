// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/program/libraries.h"

#include <cublas_v2.h>
#include <cufft.h>
#include <fmt/core.h>

#include "models/cuda/kernels/primitives.h"
#include "models/cuda/program/device.h"
#include "sim/base/error.h"

namespace lightcone::models::cuda {

namespace {

void check(cublasStatus_t code, const char* what) {
  if (code != CUBLAS_STATUS_SUCCESS) throw RunError(fmt::format("{}: {}", what, cublasGetStatusName(code)));
}
void check(cufftResult code, const char* what) {
  if (code != CUFFT_SUCCESS) throw RunError(fmt::format("{}: cuFFT error {}", what, int(code)));
}

// A handle with a workspace of its own, so that calls can be captured in a graph (cuBLAS library guide, 2.1.4: what
// NVIDIA advises for Hopper is 32 MiB).
struct Cublas {
  cublasHandle_t handle = nullptr;
  DeviceBuffer workspace{32 << 20};
  Cublas() {
    check(cublasCreate(&handle), "cuBLAS");
    check(cublasSetWorkspace(handle, workspace.data(), workspace.bytes()), "workspace of cuBLAS");
  }
};

cublasHandle_t cublas(cudaStream_t stream) {
  static Cublas* one = new Cublas;  // never destroyed: the CUDA context may be gone before
  check(cublasSetStream(one->handle, stream), "stream of cuBLAS");
  check(cublasSetWorkspace(one->handle, one->workspace.data(), one->workspace.bytes()), "workspace of cuBLAS");
  return one->handle;
}

}  // namespace

// Row-major C[m, n] = A B^T is column-major C^T[n, m] = B A^T, where B[n, k] row-major is B^T column-major.
void gemm_cublas(DeviceRun& run, const Arguments& args) {
  const int m = args.size("m"), n = args.size("n"), k = args.size("k");
  const float one = 1, zero = 0;
  check(cublasGemmEx(cublas(run.stream()), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, args.inputs[1], CUDA_R_16BF, k,
                     args.inputs[0], CUDA_R_16BF, k, &zero, args.outputs[0], CUDA_R_16BF, n, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

void batched_gemm_cublas(DeviceRun& run, const Arguments& args) {
  const int m = args.size("m"), n = args.size("n"), k = args.size("k");
  const float one = 1, zero = 0;
  const long long a = static_cast<long long>(m) * k, b = static_cast<long long>(n) * k,
                  c = static_cast<long long>(m) * n;
  check(cublasGemmStridedBatchedEx(cublas(run.stream()), CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, args.inputs[1],
                                   CUDA_R_16BF, k, b, args.inputs[0], CUDA_R_16BF, k, a, &zero, args.outputs[0],
                                   CUDA_R_16BF, n, c, args.size("batch"), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmStridedBatchedEx");
}

std::string cublas_version() {
  int version = 0;
  check(cublasGetVersion(cublas(nullptr), &version), "version of cuBLAS");
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

DevicePrimitive device_primitive(std::string_view name) {
  if (name == "gemm_cublas") return gemm_cublas;
  if (name == "batched_gemm_cublas") return batched_gemm_cublas;
  if (name == "gemm_wgmma") return gemm_wgmma;
  static const std::vector<Primitive<DeviceRun>> list = primitives<DeviceRun>();
  for (const auto& entry : list) {
    if (entry.name == name) return entry.run;
  }
  throw RunError("there is no primitive " + std::string(name));
}

DeviceRun::~DeviceRun() {
  for (const auto& [key, plan] : plans_) (void)cufftDestroy(plan);
  if (memory_ != nullptr) (void)cudaFree(memory_);
}

void* DeviceRun::take(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  if (memory_ == nullptr) check_cuda(cudaMalloc(&memory_, capacity_), "scratch memory");
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (used_ + rounded > capacity_) throw RunError("a primitive needs more scratch memory than there is");
  void* memory = static_cast<unsigned char*>(memory_) + used_;
  used_ += rounded;
  return memory;
}

int DeviceRun::plan(bool forward, int size, int batch) {
  const auto [found, made] = plans_.try_emplace({forward, {size, batch}}, 0);
  if (made) {
    int n = size;
    check(cufftPlanMany(&found->second, 1, &n, nullptr, 1, 0, nullptr, 1, 0, forward ? CUFFT_R2C : CUFFT_C2R, batch),
          "cufftPlanMany");
  }
  check(cufftSetStream(found->second, stream_), "cufftSetStream");
  return found->second;
}
void DeviceRun::real_to_complex(const float* in, float* out, int size, int batch) {
  check(cufftExecR2C(plan(true, size, batch), const_cast<float*>(in), reinterpret_cast<cufftComplex*>(out)),
        "cufftExecR2C");
}
void DeviceRun::complex_to_real(const float* in, float* out, int size, int batch) {
  auto* spectrum = reinterpret_cast<cufftComplex*>(const_cast<float*>(in));  // an out-of-place C2R may overwrite it
  check(cufftExecC2R(plan(false, size, batch), spectrum, out), "cufftExecC2R");
}

}  // namespace lightcone::models::cuda
