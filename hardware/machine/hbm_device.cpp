// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/hbm_device.h"

#include <algorithm>

#include "sim/base/error.h"

namespace lightcone::hardware {

namespace {
constexpr std::uint64_t kWriteTag = ~std::uint64_t{0};
constexpr Bytes kInterleave{256};  // consecutive bytes in one pseudo-channel; assumed, NVIDIA does not publish it
}  // namespace

HbmDevice::HbmDevice(const HbmSpec& spec, HbmListener& listener)
    : one_way_(spec.controller_latency / 2),
      listener_(listener),
      addresses_(spec.pseudo_channels(), kInterleave),
      channels_(spec.pseudo_channels(), HbmChannel(spec)),
      inbox_(spec.pseudo_channels()),
      wake_(spec.pseudo_channels(), engine::kNever) {}

std::size_t HbmDevice::request(std::uint64_t address, std::uint32_t bytes, bool write, std::uint64_t tag,
                               Picoseconds time) {
  const HbmAddressMap::Place place = addresses_.place(address);
  const engine::Cycle at = domain_->cycle_at(time + one_way_);
  inbox_[place.channel].push_back(Arrival{at, HbmRequest{place.local, bytes, write, write ? kWriteTag : tag}});
  ++pending_;
  if (at < wake_[place.channel]) {
    wake_[place.channel] = at;
    domain_->wake_at(at);
  }
  return inbox_[place.channel].size();
}

engine::Wake HbmDevice::tick(engine::Cycle now) {
  engine::Cycle next = engine::kNever;
  for (std::size_t i = 0; i < channels_.size(); ++i) {
    if (wake_[i] <= now) {
      HbmChannel& channel = channels_[i];
      std::deque<Arrival>& inbox = inbox_[i];
      while (!inbox.empty() && inbox.front().at <= now && channel.can_accept()) {
        channel.accept(inbox.front().request, now);
        inbox.pop_front();
      }
      done_.clear();
      wake_[i] = channel.tick(now, done_);
      LIGHTCONE_ASSERT(wake_[i] > now);
      if (!inbox.empty() && channel.can_accept()) wake_[i] = std::min(wake_[i], std::max(inbox.front().at, now + 1));
      for (const HbmCompletion& completion : done_) {
        --pending_;
        if (completion.tag != kWriteTag) {
          listener_.hbm_done(completion.tag, domain_->time_of(completion.cycle) + one_way_);
        }
      }
    }
    next = std::min(next, wake_[i]);
  }
  return engine::Wake::at(next);
}

HbmStats HbmDevice::stats() const {
  HbmStats sum{};
  for (const HbmChannel& channel : channels_) sum = sum + channel.stats();
  return sum;
}

}  // namespace lightcone::hardware
