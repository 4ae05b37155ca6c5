// SPDX-License-Identifier: Apache-2.0
// Pieces that the kernels of recurrences share: products of a chunk, and grids over the chunks of a sequence.
//
// Sequences of heads are taken to lie head by head ([batch, head, tokens, dim]): which lines a kernel moves is the
// same as in the token-major layout, and only their order in DRAM differs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"
#include "scenarios/mapping/matrix_view.h"
#include "scenarios/mapping/program_parts.h"

namespace lightcone::scenarios {

// A product of one chunk with the rows and columns that count: those of `m_tokens` (the chunk's tokens) or all m.
hardware::Mma product_of(std::uint64_t m, std::uint64_t n, std::uint64_t k, std::uint64_t useful_m,
                         std::uint64_t useful_n, std::uint64_t useful_k, NumberFormat format, bool slow);

// The heads of a chunked kernel. Coordinates: cta0 block of value columns, cta1 value head within its key head, cta2
// chunk (of kernels that go over all chunks at once), cta3 sequence and key head.
struct ChunkGrid {
  std::uint64_t tokens = 0, chunk = 0, members = 1, sequences = 1;

  [[nodiscard]] std::uint64_t whole() const { return tokens / chunk; }
  [[nodiscard]] std::uint64_t rest() const { return tokens % chunk; }
  [[nodiscard]] std::uint64_t chunks() const { return whole() + (rest() > 0 ? 1 : 0); }
  [[nodiscard]] std::uint64_t key_rows() const { return sequences * tokens; }
  [[nodiscard]] std::uint64_t value_rows() const { return sequences * members * tokens; }

  // Rows of tokens of a key head or of a value head.
  [[nodiscard]] MatrixView key_view(std::uint32_t tensor, std::uint64_t row_bytes) const;
  [[nodiscard]] MatrixView value_view(std::uint32_t tensor, std::uint64_t row_bytes) const;
  // One matrix of `rows` per value head and chunk (`chunk_var` none: per value head).
  [[nodiscard]] MatrixView chunk_view(std::uint32_t tensor, std::uint64_t rows, std::uint64_t row_bytes,
                                      hardware::Var chunk_var) const;
};

// What a CTA does with a chunk of `tokens` tokens.
using ChunkBody = std::function<std::vector<hardware::Op>(std::uint64_t tokens)>;

// A CTA for each block, value head and chunk; the last, shorter chunk is a class of its own.
hardware::TileProgram over_chunks(std::string name, const ChunkGrid& grid, std::uint64_t blocks, CtaShape shape,
                                  std::vector<hardware::Tensor> tensors, const ChunkBody& body);

// A CTA for each block and value head, which goes from chunk to chunk (Var::loop0).
hardware::TileProgram along_chunks(std::string name, const ChunkGrid& grid, std::uint64_t blocks, CtaShape shape,
                                   std::vector<hardware::Tensor> tensors, std::vector<hardware::Op> before,
                                   const ChunkBody& body, std::vector<hardware::Op> after);

// The program `others` whose CTAs of the first block of columns (cta0 = 0) do what those of `first` do. Both come from
// the same grid.
hardware::TileProgram with_first_block(const hardware::TileProgram& first, const hardware::TileProgram& others);

}  // namespace lightcone::scenarios
