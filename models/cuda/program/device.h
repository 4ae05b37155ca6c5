// SPDX-License-Identifier: Apache-2.0
// The GPU that runs: what it is, memory on it, and its clocks, power and temperature as NVML tells them.
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <string>
#include <vector>

namespace lightcone::models::cuda {

struct DeviceFacts {
  std::string name;
  int major = 0, minor = 0, sms = 0;
  std::size_t memory_bytes = 0, l2_bytes = 0;
  std::string driver, toolkit;  // driver: of NVML where it answers, else the CUDA version that the driver offers
  std::string pci_bus;
};

// Of device 0. Throws RunError when there is none, with the driver's own words.
DeviceFacts device_facts();

// Memory on the device, freed with its owner.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void upload(const std::vector<unsigned char>& bytes);
  void poison(unsigned char value);
  [[nodiscard]] std::vector<unsigned char> download() const;

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  [[nodiscard]] cudaStream_t get() const { return stream_; }
  void wait() const;

 private:
  cudaStream_t stream_ = nullptr;
};

struct Telemetry {
  std::optional<int> sm_mhz, memory_mhz, power_mw, temperature_c;
};

// The NVIDIA Management Library, loaded at run time: no header and no stub of it is needed to build.
class Nvml {
 public:
  explicit Nvml(const std::string& pci_bus);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  // Empty where the library or a sensor is missing.
  [[nodiscard]] Telemetry now() const;
  [[nodiscard]] std::string driver() const;

 private:
  void* library_ = nullptr;
  void* device_ = nullptr;
};

// "1980 MHz, 412 W, 51 C"; what is unknown is left out.
std::string text_of(const Telemetry& telemetry);

}  // namespace lightcone::models::cuda
