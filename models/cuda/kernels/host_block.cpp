// SPDX-License-Identifier: Apache-2.0
#include "models/cuda/kernels/host_block.h"

#include <ucontext.h>

#include <exception>
#include <stdexcept>

namespace lightcone::models::cuda {

namespace {

constexpr std::size_t kStackBytes = 64 << 10;
constexpr std::size_t kAlignment = 1024;  // of shared memory, as TMA wants it

struct Copy {
  void* to;
  const void* from;
  bool valid;
};

}  // namespace

struct HostBlock::Fiber {
  ucontext_t context{}, scheduler{};
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
  const std::uint64_t* waits_on = nullptr;  // a generation that must move on from `seen`
  std::uint64_t seen = 0;
  bool done = false;
  std::vector<Copy> open;                 // not committed yet
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  std::exception_ptr failure;
};

struct HostBlock::Warp {
  void* brought[32]{};
  int arrived = 0, lanes = 32;
  std::uint64_t generation = 0;
};

HostBlock::HostBlock(int threads, std::size_t shared_bytes, FiberOrder order)
    : order_(order), shared_bytes_(shared_bytes), shared_storage_(new unsigned char[shared_bytes + kAlignment]) {
  const auto address = reinterpret_cast<std::uintptr_t>(shared_storage_.get());
  shared_.pointer = shared_storage_.get() + (kAlignment - address % kAlignment) % kAlignment;
  for (int t = 0; t < threads; ++t) fibers_.push_back(std::make_unique<Fiber>());
  for (int w = 0; w < threads / 32; ++w) warps_.push_back(std::make_unique<Warp>());
}
HostBlock::~HostBlock() = default;

void HostBlock::enter(unsigned low, unsigned high) {
  auto* block =
      reinterpret_cast<HostBlock*>(static_cast<std::uintptr_t>(low) | static_cast<std::uintptr_t>(high) << 32);
  Fiber& fiber = *block->fibers_[static_cast<std::size_t>(block->current_)];
  try {
    (*block->body_)(*block);
  } catch (...) {
    fiber.failure = std::current_exception();
  }
  fiber.done = true;
  swapcontext(&fiber.context, &fiber.scheduler);
}

void HostBlock::run(Grid grid, Grid at, const std::function<void(HostBlock&)>& body) {
  grid_ = grid;
  at_ = at;
  body_ = &body;
  std::memset(shared_.pointer, 0xFF, shared_bytes_);
  at_barrier_ = 0;
  alive_ = static_cast<int>(fibers_.size());
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  for (auto& fiber : fibers_) {
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    fiber->done = false;
    fiber->waits_on = nullptr;
    fiber->open.clear();
    fiber->groups.clear();
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&HostBlock::enter), 2, static_cast<unsigned>(self),
                static_cast<unsigned>(self >> 32));
  }
  while (alive_ > 0) {
    bool moved = false;
    const int count = static_cast<int>(fibers_.size());
    for (int i = 0; i < count; ++i) {
      current_ = order_ == FiberOrder::ascending ? i : count - 1 - i;
      Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
      if (fiber.done || (fiber.waits_on != nullptr && *fiber.waits_on == fiber.seen)) continue;
      moved = true;
      swapcontext(&fiber.scheduler, &fiber.context);
      if (fiber.failure) std::rethrow_exception(fiber.failure);
      if (fiber.done) --alive_;
    }
    if (!moved) throw std::logic_error("the threads of a CTA wait for each other for ever");
  }
  if (at_barrier_ != 0) throw std::logic_error("a thread ended while others wait at a barrier");
}

void HostBlock::yield() {
  Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
  swapcontext(&fiber.context, &fiber.scheduler);
}

void HostBlock::sync() {
  Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
  if (++at_barrier_ == static_cast<int>(fibers_.size())) {
    at_barrier_ = 0;
    ++barrier_generation_;
    return;
  }
  fiber.waits_on = &barrier_generation_;
  fiber.seen = barrier_generation_;
  yield();
}

void HostBlock::collective(void* brought, void (*all)(void* const (&lanes)[32])) {
  Warp& warp = *warps_[static_cast<std::size_t>(current_ / 32)];
  Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
  warp.brought[current_ % 32] = brought;
  if (++warp.arrived == warp.lanes) {
    all(warp.brought);
    warp.arrived = 0;
    ++warp.generation;
    return;
  }
  fiber.waits_on = &warp.generation;
  fiber.seen = warp.generation;
  yield();
}

void HostBlock::sync_warp() {
  int nothing = 0;
  collective(&nothing, [](void* const(&)[32]) {});
}

namespace {

template <class T>
struct Exchange {
  T in, out;
  int from;  // lane; outside of 0 .. 31: keeps its own
};

template <class T>
void exchange(void* const (&lanes)[32]) {
  for (int l = 0; l < 32; ++l) {
    auto* mine = static_cast<Exchange<T>*>(lanes[l]);
    mine->out = mine->from < 0 || mine->from > 31 ? mine->in : static_cast<Exchange<T>*>(lanes[mine->from])->in;
  }
}

struct MatrixLoad {
  const Bf16* row;
  std::uint32_t* registers;
  bool transposed;
};

void load_all(void* const (&lanes)[32]) {
  for (int l = 0; l < 32; ++l) {
    auto* mine = static_cast<MatrixLoad*>(lanes[l]);
    for (int j = 0; j < 4; ++j) {
      const auto row = [&](int r) { return static_cast<MatrixLoad*>(lanes[8 * j + r])->row; };
      const int first = l / 4, second = 2 * (l % 4);
      const std::uint32_t low = mine->transposed ? row(second)[first].bits : row(first)[second].bits;
      const std::uint32_t high = mine->transposed ? row(second + 1)[first].bits : row(first)[second + 1].bits;
      mine->registers[j] = low | high << 16;
    }
  }
}

struct Mma {
  float* d;
  const std::uint32_t* a;
  std::uint32_t b[2];
};

float half_of(std::uint32_t pair, int which) { return bits_to_float(which == 0 ? pair << 16 : pair & 0xFFFF0000u); }

// Fragments of mma.m16n8k16 (PTX ISA 9.7.14.5.8): group g = lane / 4, t = lane % 4. A: registers 0..3 hold rows g, g+8,
// g, g+8 and columns 2t+{0,1}, +0, +8, +8. B: rows 2t+{0,1} and +8, column g. D: rows g, g, g+8, g+8, columns 2t+{0,1}.
void multiply_all(void* const (&lanes)[32]) {
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; ++l) {
    const auto* mine = static_cast<Mma*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int e = 0; e < 2; ++e) {
      for (int r = 0; r < 4; ++r) a[g + 8 * (r % 2)][2 * t + e + 8 * (r / 2)] = half_of(mine->a[r], e);
      for (int r = 0; r < 2; ++r) b[2 * t + e + 8 * r][g] = half_of(mine->b[r], e);
    }
  }
  for (int l = 0; l < 32; ++l) {
    const auto* mine = static_cast<Mma*>(lanes[l]);
    for (int e = 0; e < 4; ++e) {
      const int row = l / 4 + 8 * (e / 2), column = 2 * (l % 4) + e % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      mine->d[e] += sum;
    }
  }
}

}  // namespace

float HostBlock::shuffle_xor(float v, int mask) { return shuffle(v, lane() ^ mask); }
float HostBlock::shuffle_up(float v, int by) { return shuffle(v, lane() - by); }
float HostBlock::shuffle(float v, int lane) {
  Exchange<float> mine{v, v, lane};
  collective(&mine, &exchange<float>);
  return mine.out;
}
int HostBlock::shuffle_xor(int v, int mask) {
  Exchange<int> mine{v, v, lane() ^ mask};
  collective(&mine, &exchange<int>);
  return mine.out;
}

void HostBlock::copy_async(void* to, const void* from, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || (valid && reinterpret_cast<std::uintptr_t>(from) % 16 != 0)) {
    throw std::logic_error("an asynchronous copy is not aligned to 16 bytes");
  }
  fibers_[static_cast<std::size_t>(current_)]->open.push_back({to, from, valid});
}
void HostBlock::commit() {
  Fiber& fiber = *fibers_[static_cast<std::size_t>(current_)];
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}
void HostBlock::wait_for(std::size_t pending) {
  auto& groups = fibers_[static_cast<std::size_t>(current_)]->groups;
  while (groups.size() > pending) {
    for (const Copy& copy : groups.front()) {
      if (copy.valid) {
        std::memcpy(copy.to, copy.from, 16);
      } else {
        std::memset(copy.to, 0, 16);
      }
    }
    groups.erase(groups.begin());
  }
}

void HostBlock::matrices(std::uint32_t (&r)[4], const Bf16* row, bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) throw std::logic_error("ldmatrix: a row is not aligned");
  MatrixLoad mine{row, r, transposed};
  collective(&mine, &load_all);
}
void HostBlock::mma(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  Mma mine{d, a, {b0, b1}};
  collective(&mine, &multiply_all);
}

}  // namespace lightcone::models::cuda
