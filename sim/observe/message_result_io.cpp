// SPDX-License-Identifier: Apache-2.0
#include "sim/observe/message_result_io.h"

#include <limits>

#include "sim/observe/message_result.pb.h"

namespace lightcone {

std::string serialise(const MessageResult& result) {
  observe::MessageResult message;
  message.set_program(result.program);
  message.set_evaluator(static_cast<std::uint32_t>(result.evaluator));
  message.set_time_s(result.time.count());
  message.set_start_s(result.start.count());
  message.set_longest_compute_s(result.longest_compute.count());
  message.set_bound_by(result.bound_by);
  for (const LinkUse& use : result.links) {
    observe::LinkUse& entry = *message.add_links();
    entry.set_kind(use.kind);
    entry.set_links(use.links);
    entry.set_wire_bytes(use.wire.count());
    entry.set_busiest(use.busiest);
    entry.set_energy_j(use.energy.count());
  }
  message.set_messages(result.messages);
  message.set_payload_bytes(result.payload.count());
  message.set_memory_read_bytes(result.memory_read.count());
  message.set_memory_written_bytes(result.memory_written.count());
  message.set_sms(result.sms);
  message.set_simulated_fraction(result.simulated_fraction);
  message.set_energy_j(result.energy.count());
  return message.SerializeAsString();
}

std::optional<MessageResult> parse_message_result(std::string_view bytes) {
  observe::MessageResult message;
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || message.program().empty() ||
      message.evaluator() > 1) {
    return std::nullopt;
  }
  MessageResult result;
  result.program = message.program();
  result.evaluator = static_cast<Evaluator>(message.evaluator());
  result.time = Seconds(message.time_s());
  result.start = Seconds(message.start_s());
  result.longest_compute = Seconds(message.longest_compute_s());
  result.bound_by = message.bound_by();
  for (const observe::LinkUse& use : message.links()) {
    result.links.push_back(
        {use.kind(), use.links(), Bytes(use.wire_bytes()), use.busiest(), Joules(use.energy_j())});
  }
  result.messages = message.messages();
  result.payload = Bytes(message.payload_bytes());
  result.memory_read = Bytes(message.memory_read_bytes());
  result.memory_written = Bytes(message.memory_written_bytes());
  result.sms = message.sms();
  result.simulated_fraction = message.simulated_fraction();
  result.energy = Joules(message.energy_j());
  return result;
}

}  // namespace lightcone
