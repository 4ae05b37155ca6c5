// SPDX-License-Identifier: Apache-2.0
#include "sim/base/content_hash.h"

#include "hardware/program/tile_program.h"

namespace lightcone::hardware {

namespace {

void add_box(ContentHash& hash, const Box& box) {
  hash.add(box.tensor).add(box.row_var).add(box.rows).add(box.row_extent).add(box.row_pitch_bytes);
  hash.add(box.column_var).add(box.row_bytes).add(box.column_extent_bytes).add(box.first_row);
  hash.add(box.first_column_byte).add(box.row_step).add(box.column_step_bytes);
  for (const Term& term : box.outer) hash.add(term.var).add(term.stride_bytes);
}

void add_useful(ContentHash& hash, const UsefulPart& part) {
  hash.add(part.m_var).add(part.m_step).add(part.m_first).add(part.m_extent);
  hash.add(part.n_var).add(part.n_step).add(part.n_first).add(part.n_extent);
  hash.add(part.k_var).add(part.k_step).add(part.k_extent);
  hash.add(part.mask).add(part.diagonal).add(part.window).add(part.row_divisor).add(part.columns_are_k);
  hash.add(part.pairs);
}

// One overload per kind of operation: a new kind does not compile until it is hashed.
struct AddOp {
  ContentHash& hash;
  void operator()(const LoopBegin& op) { hash.add(op.loop); }
  void operator()(const LoopEnd&) {}
  void operator()(const AcquireStage& op) { hash.add(op.pipe); }
  void operator()(const CommitStage& op) { hash.add(op.pipe); }
  void operator()(const WaitStage& op) { hash.add(op.pipe); }
  void operator()(const ReleaseStage& op) { hash.add(op.pipe); }
  void operator()(const LoadTile& op) {
    add_box(hash.add(op.pipe).add(op.path).add(op.multicast).add(op.split_over_pair), op.box);
  }
  void operator()(const GlobalLoad& op) { add_box(hash, op.box); }
  void operator()(const WaitLoads&) {}
  void operator()(const GlobalStore& op) { add_box(hash.add(op.path).add(op.segment_bytes), op.box); }
  void operator()(const WaitStores&) {}
  void operator()(const Mma& op) {
    hash.add(op.m).add(op.n).add(op.k).add(op.format).add(op.a).add(op.shared_read_bytes);
    add_useful(hash, op.useful);
  }
  void operator()(const MmaWait& op) { hash.add(op.allowed_in_flight); }
  void operator()(const VectorWork& op) {
    hash.add(op.fp32_ops).add(op.fp32_flops).add(op.int_ops).add(op.sfu_ops).add(op.dependent_cycles);
  }
  void operator()(const SharedAccess& op) { hash.add(op.read_bytes).add(op.write_bytes); }
  void operator()(const CtaBarrier& op) { hash.add(op.id); }
  void operator()(const Signal& op) { hash.add(op.counter_base).add(op.counter_var).add(op.counter_stride); }
  void operator()(const AwaitSignal& op) {
    hash.add(op.counter_base).add(op.counter_var).add(op.counter_stride).add(op.count);
  }
  void operator()(const Delay& op) { hash.add(op.cycles); }
};

void add_class(ContentHash& hash, const CtaClass& cta_class) {
  hash.add(cta_class.roles.size());
  for (const Role& role : cta_class.roles) {
    hash.add(role.warps).add(role.ops.size());
    for (const Op& op : role.ops) {
      hash.add(op.index());
      std::visit(AddOp{hash}, op);
    }
  }
  hash.add(cta_class.pipes.size());
  for (const Pipe& pipe : cta_class.pipes) hash.add(pipe.stages).add(pipe.consumers);
}

void add_group(ContentHash& hash, const CtaGroup& group) {
  hash.add(group.cta_class).add(group.band);
  for (const std::uint32_t extent : group.extent) hash.add(extent);
  for (const std::int64_t origin : group.origin) hash.add(origin);
  for (const LoopRange& loop : group.loops) hash.add(loop.first).add(loop.count);
}

}  // namespace

std::string content_hash(const TileProgram& program) {
  ContentHash hash;
  hash.add(program.name).add(program.threads_per_cta).add(program.registers_per_thread);
  hash.add(program.shared_memory_per_cta.count()).add(program.cluster_size).add(program.persistent);
  hash.add(program.tensors.size());
  for (const Tensor& tensor : program.tensors) {
    hash.add(tensor.bytes.count()).add(tensor.residency).add(tensor.written);
  }
  hash.add(program.classes.size());
  for (const CtaClass& cta_class : program.classes) add_class(hash, cta_class);
  hash.add(program.groups.size());
  for (const CtaGroup& group : program.groups) add_group(hash, group);
  return hash.hex();
}

}  // namespace lightcone::hardware
