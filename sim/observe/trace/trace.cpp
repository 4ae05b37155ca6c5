// SPDX-License-Identifier: Apache-2.0
#include "sim/observe/trace/trace.h"

#include <cmath>

#include "sim/observe/trace/perfetto.pb.h"

namespace lightcone {

struct Trace::Packets {
  perfetto::Trace trace;
  Track last_track = 0;

  perfetto::TracePacket& add() {
    perfetto::TracePacket& packet = *trace.add_packet();
    packet.set_trusted_packet_sequence_id(1);
    return packet;
  }
  perfetto::TrackEvent& event(Track track, Seconds at, perfetto::TrackEvent::Type type) {
    perfetto::TracePacket& packet = add();
    packet.set_timestamp(static_cast<std::uint64_t>(std::llround(at.count() * 1e9)));
    perfetto::TrackEvent& event = *packet.mutable_track_event();
    event.set_type(type);
    event.set_track_uuid(track);
    return event;
  }
  perfetto::TrackDescriptor& describe(Track parent, const std::string& name) {
    perfetto::TracePacket& packet = add();
    if (last_track == 0) packet.set_sequence_flags(1);  // SEQ_INCREMENTAL_STATE_CLEARED: a fresh sequence
    perfetto::TrackDescriptor& descriptor = *packet.mutable_track_descriptor();
    descriptor.set_uuid(++last_track);
    descriptor.set_name(name);
    if (parent != 0) descriptor.set_parent_uuid(parent);
    return descriptor;
  }
};

Trace::Trace() : packets_(std::make_unique<Packets>()) {}
Trace::~Trace() = default;

Trace::Track Trace::add_process(const std::string& name) {
  perfetto::TrackDescriptor& descriptor = packets_->describe(0, name);
  descriptor.mutable_process()->set_pid(static_cast<std::int32_t>(descriptor.uuid()));
  descriptor.mutable_process()->set_process_name(name);
  return descriptor.uuid();
}

Trace::Track Trace::add_track(Track parent, const std::string& name) { return packets_->describe(parent, name).uuid(); }

Trace::Track Trace::add_counter(Track parent, const std::string& name, const std::string& unit) {
  perfetto::TrackDescriptor& descriptor = packets_->describe(parent, name);
  descriptor.mutable_counter()->set_unit_name(unit);
  return descriptor.uuid();
}

void Trace::add_slice(Track track, const std::string& name, Seconds start, Seconds end, const Annotations& notes) {
  perfetto::TrackEvent& begin = packets_->event(track, start, perfetto::TrackEvent::TYPE_SLICE_BEGIN);
  begin.set_name(name);
  for (const auto& [key, value] : notes) {
    perfetto::DebugAnnotation& note = *begin.add_debug_annotations();
    note.set_name(key);
    note.set_string_value(value);
  }
  packets_->event(track, end, perfetto::TrackEvent::TYPE_SLICE_END);
}

void Trace::set_counter(Track track, Seconds at, double value) {
  packets_->event(track, at, perfetto::TrackEvent::TYPE_COUNTER).set_double_counter_value(value);
}

std::string Trace::bytes() const { return packets_->trace.SerializeAsString(); }

}  // namespace lightcone
