// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/program/device.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include "models/cuda/kernels/device_run.h"
#include "sim/base/error.h"

namespace lightcone::models::cuda {

void check_cuda(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  throw RunError(fmt::format("{}: {} ({})", what, cudaGetErrorString(code), cudaGetErrorName(code)));
}

namespace {
std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }
}  // namespace

DeviceFacts device_facts() {
  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code != cudaSuccess || devices == 0) {
    throw RunError(
        fmt::format("no GPU can be used: {}", code == cudaSuccess ? "there is none" : cudaGetErrorString(code)));
  }
  check_cuda(cudaSetDevice(0), "device 0");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "properties of the device");
  DeviceFacts facts{properties.name,
                    properties.major,
                    properties.minor,
                    properties.multiProcessorCount,
                    properties.totalGlobalMem,
                    std::size_t(properties.l2CacheSize),
                    {},
                    {},
                    {}};
  int runtime = 0, driver = 0;
  check_cuda(cudaRuntimeGetVersion(&runtime), "version of the runtime");
  check_cuda(cudaDriverGetVersion(&driver), "version of the driver");
  char bus[32] = {};
  check_cuda(cudaDeviceGetPCIBusId(bus, sizeof bus, 0), "PCI bus of the device");
  facts.pci_bus = bus;
  facts.toolkit = version_text(runtime);
  facts.driver = Nvml(facts.pci_bus).driver();
  if (facts.driver.empty()) facts.driver = "CUDA " + version_text(driver);
  return facts;
}

DeviceBuffer::DeviceBuffer(std::size_t bytes) : bytes_(bytes) {
  check_cuda(cudaMalloc(&data_, bytes == 0 ? 1 : bytes), "allocation of device memory");
}
DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) (void)cudaFree(data_);  // fails only after an error that was reported
}
void DeviceBuffer::upload(const std::vector<unsigned char>& bytes) {
  check_cuda(cudaMemcpy(data_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "copy to the device");
}
void DeviceBuffer::poison(unsigned char value) {
  check_cuda(cudaMemset(data_, value, bytes_), "poisoning of an output");
}
std::vector<unsigned char> DeviceBuffer::download() const {
  std::vector<unsigned char> bytes(bytes_);
  check_cuda(cudaMemcpy(bytes.data(), data_, bytes_, cudaMemcpyDeviceToHost), "copy from the device");
  return bytes;
}

Stream::Stream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream"); }
Stream::~Stream() { (void)cudaStreamDestroy(stream_); }
void Stream::wait() const { check_cuda(cudaStreamSynchronize(stream_), "the kernels of a stream"); }

// ---- NVML: names and constants of its API reference (nvml.h) ----------------------------------------------------

namespace {

constexpr int kSuccess = 0;             // NVML_SUCCESS
constexpr int kClockSm = 1;             // NVML_CLOCK_SM
constexpr int kClockMemory = 2;         // NVML_CLOCK_MEM
constexpr int kTemperatureGpu = 0;      // NVML_TEMPERATURE_GPU
constexpr unsigned kVersionBytes = 80;  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE

template <class Function>
Function* symbol(void* library, const char* name) {
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(library, name));
}

using Init = int();
using HandleByBus = int(const char*, void**);
using WithIndex = int(void*, int, unsigned*);
using Plain = int(void*, unsigned*);
using DriverVersion = int(char*, unsigned);

}  // namespace

Nvml::Nvml(const std::string& pci_bus) : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW)) {
  auto* init = symbol<Init>(library_, "nvmlInit_v2");
  auto* handle = symbol<HandleByBus>(library_, "nvmlDeviceGetHandleByPciBusId_v2");
  if (init == nullptr || handle == nullptr || init() != kSuccess) return;
  if (handle(pci_bus.c_str(), &device_) != kSuccess) device_ = nullptr;
}
Nvml::~Nvml() {
  if (auto* shutdown = symbol<Init>(library_, "nvmlShutdown")) (void)shutdown();
  if (library_ != nullptr) (void)dlclose(library_);
}

Telemetry Nvml::now() const {
  Telemetry telemetry;
  if (device_ == nullptr) return telemetry;
  const auto indexed = [&](const char* name, int index) -> std::optional<int> {
    unsigned value = 0;
    auto* function = symbol<WithIndex>(library_, name);
    if (function == nullptr || function(device_, index, &value) != kSuccess) return std::nullopt;
    return static_cast<int>(value);
  };
  telemetry.sm_mhz = indexed("nvmlDeviceGetClockInfo", kClockSm);
  telemetry.memory_mhz = indexed("nvmlDeviceGetClockInfo", kClockMemory);
  telemetry.temperature_c = indexed("nvmlDeviceGetTemperature", kTemperatureGpu);
  unsigned power = 0;
  auto* usage = symbol<Plain>(library_, "nvmlDeviceGetPowerUsage");
  if (usage != nullptr && usage(device_, &power) == kSuccess) telemetry.power_mw = static_cast<int>(power);
  return telemetry;
}

std::string Nvml::driver() const {
  char version[kVersionBytes] = {};
  auto* function = symbol<DriverVersion>(library_, "nvmlSystemGetDriverVersion");
  return function != nullptr && function(version, kVersionBytes) == kSuccess ? version : "";
}

std::string text_of(const Telemetry& telemetry) {
  std::string text;
  const auto add = [&](const std::optional<int>& value, int divisor, const char* unit) {
    if (value) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", *value / divisor, unit);
  };
  add(telemetry.sm_mhz, 1, "MHz");
  add(telemetry.power_mw, 1000, "W");
  add(telemetry.temperature_c, 1, "C");
  return text;
}

}  // namespace lightcone::models::cuda
