// SPDX-License-Identifier: Apache-2.0
// What the backward kernels of attention share: which queries a block of keys walks, and the loads, products, score
// work and stores of one tile. CTA coordinates: cta0 = key block, cta1 = query head within its group, cta2 = KV head,
// cta3 = sequence. loop0 runs over the query blocks; loop1 over all but the last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scenarios/mapping/attention_backward.h"
#include "scenarios/mapping/matrix_view.h"

namespace lightcone::scenarios {

class AttentionBackwardLayout {
 public:
  AttentionBackwardLayout(const models::Attention& op, const AttentionBackwardPlan& plan, const hardware::GpuSpec& gpu);

  [[nodiscard]] hardware::TileProgram start(const std::string& kernel) const;
  [[nodiscard]] std::vector<hardware::CtaGroup> groups() const;

  [[nodiscard]] hardware::LoadTile load_k(std::uint8_t pipe) const;
  [[nodiscard]] hardware::LoadTile load_v(std::uint8_t pipe) const;
  // Of query block value(loop) + ahead.
  [[nodiscard]] hardware::LoadTile load_q(std::uint8_t pipe, hardware::Var loop, std::uint32_t ahead) const;
  [[nodiscard]] hardware::LoadTile load_do(std::uint8_t pipe, hardware::Var loop, std::uint32_t ahead) const;
  // fp32 rows of log-sum-exp and of D.
  [[nodiscard]] hardware::Box log_sum_exp(hardware::Var loop, std::uint32_t ahead) const;
  [[nodiscard]] hardware::Box row_sums(hardware::Var loop, std::uint32_t ahead) const;

  // The five products by one of `shares` of the keys; all are pairs times a head's width. `shared_bytes`: read from
  // shared memory for the operands.
  [[nodiscard]] hardware::Mma over_keys(hardware::Var loop, std::uint32_t share, std::uint32_t shares,
                                        std::uint64_t shared_bytes) const;
  [[nodiscard]] hardware::Mma over_values(hardware::Var loop, std::uint32_t share, std::uint32_t shares,
                                          std::uint64_t shared_bytes) const;

  // P = exp(S - LSE); dS = P (dP - D), both narrowed.
  [[nodiscard]] hardware::VectorWork probabilities(std::uint32_t shares) const;
  [[nodiscard]] hardware::VectorWork score_gradients(std::uint32_t shares) const;
  // The comparisons of the masked tiles of the CTA.
  [[nodiscard]] hardware::VectorWork masks(std::uint32_t shares) const;

  [[nodiscard]] hardware::GlobalStore add_dq(hardware::Var loop, std::uint32_t share, std::uint32_t shares,
                                             hardware::CopyPath path) const;
  // Convert, stage and store dK and dV.
  [[nodiscard]] std::vector<hardware::Op> finish(std::uint32_t share, std::uint32_t shares,
                                                 hardware::CopyPath path) const;

 private:
  [[nodiscard]] hardware::LoopRange queries_of(std::uint64_t key_block) const;
  [[nodiscard]] hardware::Mma pairs(hardware::Var loop, std::uint32_t share, std::uint32_t shares, std::uint64_t width,
                                    std::uint64_t padded, std::uint64_t shared_bytes) const;
  [[nodiscard]] hardware::Box statistic(std::uint32_t tensor, hardware::Var loop, std::uint32_t ahead) const;
  [[nodiscard]] hardware::LoadTile load(std::uint8_t pipe, const hardware::Box& box) const;
  [[nodiscard]] std::uint64_t heads_at_once(std::uint64_t runs) const;

  models::Attention op_;
  AttentionBackwardPlan plan_;
  std::uint64_t group_, keys_, window_, key_blocks_;
  std::uint32_t sm_count_;
  bool bulk_;
  std::vector<hardware::Tensor> tensors_;
  MatrixView q_, k_, v_, do_, dq_, dk_, dv_;
};

}  // namespace lightcone::scenarios
