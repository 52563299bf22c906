// SPDX-License-Identifier: Apache-2.0
//
// Which VIPs this control plane has put on which interface, remembered in the state directory
// across crashes. A place is written down before its address is added and crossed out after it is
// removed, so an address that nobody wrote down is an administrator's. One line a place: "192.0.2.1
// steel0".
#pragma once

#include <set>
#include <string>

#include "net/address.h"
#include "net/result.h"

namespace steelyard::controlplane {

struct VipPlace {
  net::IpAddress address;
  std::string interface;
  friend auto operator<=>(const VipPlace&, const VipPlace&) = default;
};

class VipRecord {
 public:
  explicit VipRecord(std::string path) : path_(std::move(path)) {}

  // A missing file is an empty record. An error names the line that makes no sense.
  net::Status Load();
  // Writes `places` to the disk; on an error what was written before stands.
  net::Status Store(std::set<VipPlace> places);
  const std::set<VipPlace>& places() const { return places_; }

 private:
  const std::string path_;
  std::set<VipPlace> places_;
};

}  // namespace steelyard::controlplane
