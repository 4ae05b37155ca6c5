// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_flow.h"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {

constexpr std::uint64_t kExactSteps = 400'000;   // of all followed workers; longer programs are cut short
constexpr std::uint64_t kShort = 6, kLong = 12;  // rounds of a block that are followed then

// Walks the steps of a class, blocks cut to `most` rounds.
class Cursor {
 public:
  Cursor(const WorkerClass& worker_class, std::uint64_t most) : class_(&worker_class), most_(most) { settle(); }

  [[nodiscard]] const MessageStep* step() const {
    if (block_ == class_->blocks.size()) return nullptr;
    return &class_->blocks[block_].segments[segment_].steps[step_];
  }
  void advance() {
    ++step_;
    settle();
  }

 private:
  // To the next step that exists: empty lists and used-up repeats are passed over.
  void settle() {
    while (block_ < class_->blocks.size()) {
      const MessageBlock& block = class_->blocks[block_];
      if (round_ >= std::min(block.repeat, most_) || block.segments.empty()) {
        ++block_;
        round_ = segment_ = segment_round_ = step_ = 0;
      } else if (segment_ == block.segments.size()) {
        ++round_;
        segment_ = segment_round_ = step_ = 0;
      } else if (segment_round_ >= block.segments[segment_].repeat || block.segments[segment_].steps.empty()) {
        ++segment_;
        segment_round_ = step_ = 0;
      } else if (step_ == block.segments[segment_].steps.size()) {
        ++segment_round_;
        step_ = 0;
      } else {
        return;
      }
    }
  }

  const WorkerClass* class_;
  std::uint64_t most_;
  std::size_t block_ = 0, segment_ = 0, step_ = 0;
  std::uint64_t round_ = 0, segment_round_ = 0;
};

std::uint64_t steps_of(const WorkerClass& worker_class, std::uint64_t most) {
  std::uint64_t steps = 0;
  for (const MessageBlock& block : worker_class.blocks) {
    std::uint64_t round = 0;
    for (const MessageSegment& segment : block.segments) round += segment.repeat * segment.steps.size();
    steps += round * std::min(block.repeat, most);
  }
  return steps;
}

// Messages from one followed worker to a peer: when each has arrived, and when the receiver has taken it.
struct Stream {
  std::vector<double> arrived, taken;
};

struct Walker {
  std::uint32_t worker = 0;
  Cursor cursor;
  double now = 0, work = 0;
  double link_free = 0;                       // its share of the links: when the last message has left
  std::vector<std::uint64_t> sent, received;  // by peer slot
  std::vector<std::size_t> out, in;           // stream by peer slot
};

class Flow {
 public:
  Flow(const MessageProgram& program, const MessageTraffic& traffic, const std::vector<std::uint32_t>& representative,
       std::uint64_t most)
      : program_(program), traffic_(traffic) {
    place(representative);
    find_sends();
    for (std::uint32_t w = 0; w < program.workers.size(); ++w) {
      if (image_[w] == w) add_walker(w, most);
    }
  }

  FlowResult run() {
    // Whoever stops waits for another; all are asked again until a round moves nobody.
    for (bool moved = true; moved;) {
      moved = false;
      for (Walker& walker : walkers_) {
        while (walker.cursor.step() != nullptr && take(walker, *walker.cursor.step())) {
          walker.cursor.advance();
          moved = true;
        }
      }
    }
    FlowResult result;
    double end = last_arrival_, work = 0;
    for (const Walker& walker : walkers_) {
      if (walker.cursor.step() != nullptr) {
        throw std::logic_error("message program " + program_.name + ": steps wait for each other in a circle");
      }
      end = std::max(end, walker.now);
      work = std::max(work, walker.work);
    }
    result.end = Seconds(end);
    result.longest_work = Seconds(work);
    return result;
  }

 private:
  // image_[w]: the followed worker that does what w does: the one of the same number on the representative rank.
  void place(const std::vector<std::uint32_t>& representative) {
    std::vector<std::vector<std::uint32_t>> of_rank(program_.gpus.size());
    for (std::uint32_t w = 0; w < program_.workers.size(); ++w) of_rank[program_.workers[w].rank].push_back(w);
    image_.resize(program_.workers.size());
    for (std::uint32_t rank = 0; rank < of_rank.size(); ++rank) {
      const std::vector<std::uint32_t>& images = of_rank[representative[rank]];
      LIGHTCONE_ASSERT(images.size() == of_rank[rank].size());
      for (std::size_t i = 0; i < of_rank[rank].size(); ++i) image_[of_rank[rank][i]] = images[i];
    }
  }

  std::size_t stream(std::uint32_t followed, std::size_t slot) {
    const auto [entry, fresh] = stream_index_.try_emplace({followed, slot}, streams_.size());
    if (fresh) streams_.emplace_back();
    return entry->second;
  }

  // The slot by which `worker` sends to `peer`; nothing when it does not. In a ring of two, the peer before and the one
  // behind are the same worker in two slots.
  [[nodiscard]] std::optional<std::size_t> slot_of(std::uint32_t worker, std::uint32_t peer) const {
    const std::vector<std::uint32_t>& peers = program_.workers[worker].peers;
    const std::vector<bool>& sends = sends_[program_.workers[worker].worker_class];
    for (std::size_t slot = 0; slot < peers.size(); ++slot) {
      if (peers[slot] == peer && slot < sends.size() && sends[slot]) return slot;
    }
    return std::nullopt;
  }

  // By class, the slots that some step sends to.
  void find_sends() {
    for (const WorkerClass& own : program_.classes) {
      std::vector<bool>& sends = sends_.emplace_back();
      for (const MessageBlock& block : own.blocks) {
        for (const MessageSegment& segment : block.segments) {
          for (const MessageStep& step : segment.steps) {
            if (step.send == kNoPeer) continue;
            if (sends.size() <= step.send) sends.resize(step.send + std::size_t{1});
            sends[step.send] = true;
          }
        }
      }
    }
  }

  void add_walker(std::uint32_t w, std::uint64_t most) {
    const MessageWorker& worker = program_.workers[w];
    Walker walker{w, Cursor(program_.classes[worker.worker_class], most), 0, 0, 0, {}, {}, {}, {}};
    walker.sent.assign(worker.peers.size(), 0);
    walker.received.assign(worker.peers.size(), 0);
    for (std::size_t slot = 0; slot < worker.peers.size(); ++slot) {
      walker.out.push_back(stream(w, slot));
      // What a peer sends here is what its image sends to the same slot.
      const std::optional<std::size_t> back = slot_of(worker.peers[slot], w);
      walker.in.push_back(back ? stream(image_[worker.peers[slot]], *back) : stream(w, slot));
    }
    walkers_.push_back(std::move(walker));
  }

  // Takes the step if its message and its credit are there.
  bool take(Walker& walker, const MessageStep& step) {
    const WorkerClass& own = program_.classes[program_.workers[walker.worker].worker_class];
    const bool group = step.delivery != Delivery::unicast;
    double begin = walker.now;
    if (step.receive != kNoPeer) {
      const Stream& in = streams_[walker.in[step.receive]];
      const std::uint64_t n = walker.received[step.receive];
      if (in.arrived.size() <= n) return false;
      begin = std::max(begin, in.arrived[n]);
    }
    if (!group && step.send != kNoPeer) {
      const Stream& out = streams_[walker.out[step.send]];
      const std::uint64_t n = walker.sent[step.send];
      if (n >= own.slots) {
        if (out.taken.size() <= n - own.slots) return false;
        begin = std::max(begin, out.taken[n - own.slots]);
      }
    }
    work_on(walker, own, step, begin);
    return true;
  }

  void work_on(Walker& walker, const WorkerClass& own, const MessageStep& step, double begin) {
    const bool group = step.delivery != Delivery::unicast;
    const bool sends = group || step.send != kNoPeer;
    const bool moves = step.bytes.count() > 0;
    const BytesPerSecond rate = !sends && own.local_rate.count() > 0 ? own.local_rate : own.rate;
    begin += to_seconds(step.compute).count();
    const double overhead = moves ? to_seconds(own.step_overhead).count() : 0;
    const double work = moves && rate.count() > 0 ? step.bytes.real() / rate.count() : 0;
    double end = begin + overhead + work;
    if (sends) {
      const SendWay& way = traffic_.way(walker.worker, step);
      double left = end;  // the last byte
      if (!way.links.empty() && moves) {
        const double wire = step.bytes.real() / way.share.count();
        left = std::max(end, std::max(begin + overhead, walker.link_free) + wire);
        walker.link_free = left;
      }
      const double arrival = left + way.latency.count();
      last_arrival_ = std::max(last_arrival_, arrival);
      if (step.delivery == Delivery::reduced_load) end = arrival;
      if (!group) {
        streams_[walker.out[step.send]].arrived.push_back(arrival);
        ++walker.sent[step.send];
      }
    }
    if (step.receive != kNoPeer) {
      // The credit goes back the way the message came.
      streams_[walker.in[step.receive]].taken.push_back(end + credit_latency(walker, step.receive));
      ++walker.received[step.receive];
    }
    walker.work += overhead + work;
    walker.now = end;
  }

  double credit_latency(const Walker& walker, std::uint16_t slot) {
    const std::uint32_t peer = program_.workers[walker.worker].peers[slot];
    const std::optional<std::size_t> back = slot_of(peer, walker.worker);
    if (!back) return 0;
    MessageStep probe;
    probe.send = static_cast<std::uint16_t>(*back);
    return traffic_.way(peer, probe).latency.count();
  }

  const MessageProgram& program_;
  const MessageTraffic& traffic_;
  std::vector<std::uint32_t> image_;
  std::vector<std::vector<bool>> sends_;
  std::vector<Walker> walkers_;
  std::vector<Stream> streams_;
  std::map<std::pair<std::uint32_t, std::size_t>, std::size_t> stream_index_;
  double last_arrival_ = 0;
};

}  // namespace

FlowResult follow_messages(const MessageProgram& program, const MessageTraffic& traffic,
                           const std::vector<std::uint32_t>& representative) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  std::uint64_t whole = 0, longest = 0, cut_short = 0, cut_long = 0;
  std::uint32_t followed = 0;
  for (std::uint32_t rank = 0; rank < representative.size(); ++rank) followed += representative[rank] == rank;
  for (const MessageWorker& worker : program.workers) {
    if (representative[worker.rank] != worker.rank) continue;
    const WorkerClass& own = program.classes[worker.worker_class];
    const std::uint64_t steps = steps_of(own, kAll);
    whole += steps;
    if (steps > longest) {
      longest = steps;
      cut_short = steps_of(own, kShort);
      cut_long = steps_of(own, kLong);
    }
  }
  FlowResult result;
  if (whole <= kExactSteps || cut_long == cut_short) {
    result = Flow(program, traffic, representative, kAll).run();
  } else {
    const FlowResult a = Flow(program, traffic, representative, kShort).run();
    const FlowResult b = Flow(program, traffic, representative, kLong).run();
    const double rest = static_cast<double>(longest - cut_long) / static_cast<double>(cut_long - cut_short);
    result.end = b.end + (b.end - a.end) * rest;
    result.longest_work = b.longest_work + (b.longest_work - a.longest_work) * rest;
  }
  result.followed = followed;
  return result;
}

}  // namespace lightcone::hardware
