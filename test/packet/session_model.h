// SPDX-License-Identifier: Apache-2.0
//
// A session table beside the map that it must equal, and sessions to fill both with.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/session_table.h"
#include "packet/random.h"

namespace steelyard::test {

struct KeyHasher {
  size_t operator()(const net::FlowKey& key) const {
    const net::AddressHash hash;
    return hash(key.source) * 31 + hash(key.destination) * 7 + static_cast<size_t>(key.protocol);
  }
};

// A table beside the reference that it must equal.
class TableAndModel {
 public:
  TableAndModel(const core::SessionCapacity& capacity, const core::HashSecret& secret = {})
      : bytes_(core::SessionTable::RequiredBytes(capacity)),
        memory_(new (std::align_val_t{64}) std::byte[bytes_]) {
    std::memset(memory_.get(), 0, bytes_);
    table_ =
        std::make_unique<core::SessionTable>(std::span(memory_.get(), bytes_), capacity, secret);
  }

  // False: refused.
  bool Insert(const core::SessionTable::Flow& forward, const core::SessionTable::Flow& reverse) {
    if (flows_.contains(forward.key) || flows_.contains(reverse.key) || forward.key == reverse.key)
      return true;
    const uint32_t changes = table_->change_count();
    const core::SessionId session = table_->Insert(forward, reverse);
    if (session == core::kNoSession) {
      EXPECT_EQ(table_->change_count(), changes);
      return false;
    }
    EXPECT_NE(table_->change_count(), changes);
    EXPECT_FALSE(sessions_.contains(session)) << "handed out twice";
    EXPECT_TRUE(table_->record(session).in_use());
    table_->Complete(session);
    flows_[forward.key] = {core::RefOf(session, core::Direction::kForward), forward};
    flows_[reverse.key] = {core::RefOf(session, core::Direction::kReverse), reverse};
    sessions_[session] = {forward.key, reverse.key};
    order_.push_back(session);
    return true;
  }

  void RemoveOne(Random& random) {
    if (order_.empty()) return;
    std::swap(order_[random() % order_.size()], order_.back());
    const core::SessionId session = order_.back();
    order_.pop_back();
    const uint32_t changes = table_->change_count();
    table_->Remove(session);
    EXPECT_NE(table_->change_count(), changes);
    EXPECT_FALSE(table_->record(session).in_use());
    for (const net::FlowKey& key : sessions_[session]) flows_.erase(key);
    sessions_.erase(session);
  }

  void ExpectFound(const net::FlowKey& key) const {
    const auto at = flows_.find(key);
    const core::FlowRef expected = at == flows_.end() ? core::kNoFlow : at->second.flow;
    EXPECT_EQ(table_->Find(key), expected);
    EXPECT_EQ(FindInStages(key), expected);
    if (expected != core::kNoFlow) {
      EXPECT_TRUE(table_->MayHold(core::KeyHash(key, table_->secret())));
    }
  }

  void ExpectEqual() const {
    EXPECT_EQ(table_->size(), sessions_.size());
    for (const auto& [key, entry] : flows_) {
      ExpectFound(key);
      const core::SessionTable::Flow described = table_->Describe(entry.flow);
      EXPECT_EQ(described.key, key);
      EXPECT_EQ(described.rewrite, entry.description.rewrite);
      EXPECT_EQ(table_->state(entry.flow).protocol, key.protocol);
    }
  }

  // As the next process does.
  void Reopen() {
    const core::SessionCapacity capacity = table_->capacity();
    const core::HashSecret secret = table_->secret();
    table_ =
        std::make_unique<core::SessionTable>(std::span(memory_.get(), bytes_), capacity, secret);
    const auto rebuilt = table_->Rebuild([](core::SessionId) { return true; });
    EXPECT_EQ(rebuilt.kept, sessions_.size());
    EXPECT_EQ(rebuilt.incomplete + rebuilt.refused + rebuilt.unplaced, 0u);
  }

  core::SessionTable& table() { return *table_; }
  size_t size() const { return sessions_.size(); }
  const auto& sessions() const { return sessions_; }

 private:
  core::FlowRef FindInStages(const net::FlowKey& key) const {
    return key.is_v4() ? FindInStages(key.v4()) : FindInStages(key.v6());
  }
  template <typename Key>
  core::FlowRef FindInStages(const Key& key) const {
    const uint64_t hash = core::KeyHash(key, table_->secret());
    table_->PrefetchBucket(hash);
    const core::FlowRef candidate = table_->Candidate(hash);
    table_->PrefetchFlow(candidate);
    return table_->Confirm(candidate, key, hash);
  }

  struct Entry {
    core::FlowRef flow;
    core::SessionTable::Flow description;
  };
  struct AlignedFree {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  size_t bytes_;
  std::unique_ptr<std::byte[], AlignedFree> memory_;
  std::unique_ptr<core::SessionTable> table_;
  std::unordered_map<net::FlowKey, Entry, KeyHasher> flows_;
  std::unordered_map<core::SessionId, std::array<net::FlowKey, 2>> sessions_;
  std::vector<core::SessionId> order_;
};

// A universe small enough that keys come again.
class RandomSessions {
 public:
  explicit RandomSessions(uint32_t seed, uint32_t hosts = 64) : random(seed), hosts_(hosts) {}

  enum Kind { kNarrow, kWide, kMixed6To4, kMixed4To6 };
  std::pair<core::SessionTable::Flow, core::SessionTable::Flow> Make(Kind kind) {
    const bool front_v4 = kind == kNarrow || kind == kMixed4To6;
    const bool back_v4 = kind == kNarrow || kind == kMixed6To4;
    const auto protocol = random() % 2 ? net::L4Protocol::kTcp : net::L4Protocol::kUdp;
    const net::FlowKey front(Host(1, front_v4), Host(2, front_v4), protocol);
    const net::FlowKey back(Host(3, back_v4), Host(4, back_v4), protocol);
    return {{front, back}, {back.Reversed(), front.Reversed()}};
  }
  Kind AnyKind() { return static_cast<Kind>(random() % 4); }

  Random random;

 private:
  net::Endpoint Host(uint32_t net, bool v4) {
    const uint32_t host = random() % hosts_;
    const net::Be16 port(static_cast<uint16_t>(random() % 8));
    if (v4) return {net::Ipv4Address{net::Be32(net << 24 | host)}, port};
    net::Ipv6Address address;
    address.bytes[0] = 0xfd;
    address.bytes[5] = static_cast<uint8_t>(net);
    address.bytes[14] = static_cast<uint8_t>(host >> 8);
    address.bytes[15] = static_cast<uint8_t>(host);
    return {address, port};
  }
  uint32_t hosts_;
};

}  // namespace steelyard::test
