// SPDX-License-Identifier: Apache-2.0
//
// A set of messages, by key, as it is wanted and as the dataplane is believed to have it, and what
// must be sent to make the second the first. At most one push is under way; changes that come
// meanwhile are sent with the next one. Costs what changed, not what there is. One thread.
//
// Law: whatever the order of Put, Erase, Take, Acknowledge and Abandon, once Take() has nothing
// more to give, a receiver that did what the acknowledged pushes said has exactly the wanted set.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proto/fingerprint.h"

namespace steelyard::controlplane {

template <typename Message>
class SyncedSet {
 public:
  struct Push {
    bool replace = false;
    std::vector<const Message*> put;      // valid until the next call of a non-const function
    std::vector<const Message*> removed;  // as they were; empty with replace
    bool empty() const { return !replace && put.empty() && removed.empty(); }
  };

  void Put(const std::string& key, const Message& message) {
    auto item = std::make_shared<const Item>(Item{message, proto::Fingerprint(message)});
    ItemPtr& place = wanted_[key];
    if (place && place->fingerprint == item->fingerprint) return;
    if (place) wanted_fingerprint_ -= place->fingerprint;
    wanted_fingerprint_ += item->fingerprint;
    place = std::move(item);
    dirty_.insert(key);
  }

  void Erase(const std::string& key) {
    const auto at = wanted_.find(key);
    if (at == wanted_.end()) return;
    wanted_fingerprint_ -= at->second->fingerprint;
    wanted_.erase(at);
    dirty_.insert(key);
  }

  // Makes the wanted set exactly this one.
  template <typename Map>
  void Assign(const Map& messages) {
    std::vector<std::string> gone;
    for (const auto& [key, item] : wanted_)
      if (messages.find(key) == messages.end()) gone.push_back(key);
    for (const std::string& key : gone) Erase(key);
    for (const auto& [key, message] : messages) Put(key, message);
  }

  uint64_t wanted_fingerprint() const { return wanted_fingerprint_; }
  uint64_t applied_fingerprint() const { return applied_fingerprint_; }
  // Whether applied_fingerprint() means anything: false before the first push and after Forget().
  bool known() const { return known_; }
  bool in_flight() const { return in_flight_; }
  bool settled() const { return known_ && dirty_.empty() && !in_flight_; }
  // What is to be sent now; in flight until one of the next three is called.
  Push Take() {
    Push push;
    push.replace = !known_;
    flight_.clear();
    flight_replaces_ = push.replace;
    if (push.replace) {
      for (const auto& [key, item] : wanted_) flight_.emplace_back(key, item);
    } else {
      for (const std::string& key : dirty_) TakeKey(key, push);
    }
    for (const auto& [key, item] : flight_)
      if (item) push.put.push_back(&item->message);
    dirty_.clear();
    in_flight_ = !push.empty();
    return push;
  }

  // The receiver has done it.
  void Acknowledge() {
    in_flight_ = false;
    if (flight_replaces_) {
      applied_.clear();
      applied_fingerprint_ = 0;
      known_ = true;
    }
    for (auto& [key, item] : flight_) SetApplied(key, std::move(item));
    flight_.clear();
  }

  // The receiver has not done it, or nobody knows.
  void Abandon() {
    in_flight_ = false;
    for (const auto& [key, item] : flight_) dirty_.insert(key);
    flight_.clear();
  }

  // What the receiver has is not what was thought: the next push replaces everything.
  void Forget() { known_ = false; }

  // The receiver was found to have exactly the wanted set.
  void MarkInSync() {
    applied_ = wanted_;
    applied_fingerprint_ = wanted_fingerprint_;
    dirty_.clear();
    known_ = true;
  }

 private:
  struct Item {
    Message message;
    uint64_t fingerprint;
  };
  using ItemPtr = std::shared_ptr<const Item>;

  void TakeKey(const std::string& key, Push& push) {
    const auto wanted = wanted_.find(key);
    const auto applied = applied_.find(key);
    if (wanted == wanted_.end()) {
      if (applied == applied_.end()) return;
      flight_.emplace_back(key, nullptr);
      push.removed.push_back(&applied->second->message);
    } else if (applied == applied_.end() ||
               applied->second->fingerprint != wanted->second->fingerprint) {
      flight_.emplace_back(key, wanted->second);
    }
  }

  void SetApplied(const std::string& key, ItemPtr item) {
    const auto at = applied_.find(key);
    if (at != applied_.end()) {
      applied_fingerprint_ -= at->second->fingerprint;
      applied_.erase(at);
    }
    if (!item) return;
    applied_fingerprint_ += item->fingerprint;
    applied_.emplace(key, std::move(item));
  }

  std::unordered_map<std::string, ItemPtr> wanted_;
  std::unordered_map<std::string, ItemPtr> applied_;
  uint64_t wanted_fingerprint_ = 0;
  uint64_t applied_fingerprint_ = 0;
  bool known_ = false;
  std::set<std::string> dirty_;  // keys whose two sides may differ
  bool in_flight_ = false;
  bool flight_replaces_ = false;
  std::vector<std::pair<std::string, ItemPtr>> flight_;  // null: removed
};

}  // namespace steelyard::controlplane
