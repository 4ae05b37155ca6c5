// SPDX-License-Identifier: Apache-2.0
// A row-major matrix inside a tensor, from which kernels cut tiles.
#pragma once

#include <array>
#include <cstdint>

#include "hardware/program/tile_program.h"

namespace lightcone::scenarios {

struct MatrixView {
  std::uint32_t tensor = 0;
  std::uint64_t rows = 1;
  std::uint64_t row_bytes = 0;            // used bytes of one row
  std::uint64_t pitch_bytes = 0;          // from one row to the next
  std::array<hardware::Term, 3> outer{};  // which matrix of a batch
  std::uint64_t first_column_byte = 0;    // of this matrix inside wider rows (one head, one of two halves)
};

// Bytes from one matrix to the next, as the terms of a view take them.
inline std::int64_t stride(std::uint64_t bytes) { return static_cast<std::int64_t>(bytes); }

// A tile of `rows` x `row_bytes` at (value(row_var) * rows, value(column_var) * row_bytes) of the view.
inline hardware::Box tile_box(const MatrixView& view, hardware::Var row_var, std::uint64_t rows,
                              hardware::Var column_var = hardware::Var::none, std::uint64_t row_bytes = 0) {
  hardware::Box box;
  box.tensor = view.tensor;
  box.row_var = row_var;
  box.rows = static_cast<std::uint32_t>(rows);
  box.row_extent = view.rows;
  box.row_pitch_bytes = view.pitch_bytes;
  box.column_var = column_var;
  box.row_bytes = row_bytes == 0 ? view.row_bytes : row_bytes;
  box.first_column_byte = view.first_column_byte;
  box.column_extent_bytes = view.first_column_byte + view.row_bytes;
  box.outer = view.outer;
  return box;
}

}  // namespace lightcone::scenarios
