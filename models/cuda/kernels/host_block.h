// SPDX-License-Identifier: Apache-2.0
// A CTA on the CPU, to run kernels where no GPU is: every thread is a fiber that runs until it waits at a barrier or a
// warp-wide instruction. Shared memory starts as NaN, asynchronous copies arrive only when they are waited for, and the
// fibers run in either order, so that a forgotten wait or barrier shows as a wrong result. Not modelled: races inside
// one instruction, bank conflicts, time.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/cuda/kernels/arguments.h"
#include "models/cuda/kernels/number.h"

namespace lightcone::models::cuda {

// In which order the fibers of a CTA are resumed: results must not depend on it.
enum class FiberOrder { ascending, descending };

class HostBlock {
 public:
  HostBlock(int threads, std::size_t shared_bytes, FiberOrder order);
  ~HostBlock();
  HostBlock(const HostBlock&) = delete;
  HostBlock& operator=(const HostBlock&) = delete;

  // Runs `body` once in every thread of the CTA at (x, y, z). Throws when threads wait for each other for ever.
  void run(Grid grid, Grid at, const std::function<void(HostBlock&)>& body);

  [[nodiscard]] int thread() const { return current_; }
  [[nodiscard]] int lane() const { return current_ % 32; }
  [[nodiscard]] int warp() const { return current_ / 32; }
  [[nodiscard]] int x() const { return at_.x; }
  [[nodiscard]] int y() const { return at_.y; }
  [[nodiscard]] int z() const { return at_.z; }
  [[nodiscard]] int grid_y() const { return grid_.y; }

  template <class T>
  T& shared() {
    return *reinterpret_cast<T*>(shared_.get());
  }
  void sync();
  void sync_warp();
  float shuffle_xor(float v, int mask);
  int shuffle_xor(int v, int mask);
  float shuffle_up(float v, int by);
  float shuffle(float v, int lane);
  void copy_async(void* to, const void* from, bool valid);
  void commit();
  template <int kPending>
  void wait() {
    wait_for(kPending);
  }
  void load_matrices(std::uint32_t (&r)[4], const Bf16* row) { matrices(r, row, false); }
  void load_matrices_transposed(std::uint32_t (&r)[4], const Bf16* row) { matrices(r, row, true); }
  void mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

 private:
  struct Fiber;
  struct Warp;
  void wait_for(std::size_t pending);
  void matrices(std::uint32_t (&r)[4], const Bf16* row, bool transposed);
  // The last lane of a warp to arrive runs `all` over what the lanes brought.
  void collective(void* brought, void (*all)(void* const (&lanes)[32]));
  void yield();
  static void enter(unsigned low, unsigned high);

  Grid grid_, at_;
  int current_ = 0;
  FiberOrder order_;
  std::size_t shared_bytes_;
  std::unique_ptr<unsigned char[]> shared_storage_;
  struct SharedView {
    unsigned char* pointer = nullptr;
    [[nodiscard]] unsigned char* get() const { return pointer; }
  } shared_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::unique_ptr<Warp>> warps_;
  const std::function<void(HostBlock&)>* body_ = nullptr;
  int at_barrier_ = 0, alive_ = 0;
  std::uint64_t barrier_generation_ = 0;
};

}  // namespace lightcone::models::cuda
