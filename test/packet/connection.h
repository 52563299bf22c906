// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection through a Box, with what each end knows of it: the client its own sequence
// numbers and the backend the ones it was shown.
#pragma once

#include <gtest/gtest.h>

#include "packet/box.h"

namespace steelyard::test {

// The tests that run for both families.
struct FamilyCase {
  const char* name;
  net::Endpoint client, vip;
  net::IpAddress local;
  net::IpAddress router;  // somewhere on the way
  net::Endpoint (*backend)(uint8_t number);
  uint16_t ip_header_bytes;
  uint8_t option_bytes;  // of the client address
};
inline const FamilyCase kFamilyCases[] = {
    {"IPv4", kClient4, kVip4, kLocal4, Address("203.0.113.77"), Backend4, 20, 8},
    {"IPv6", kClient6, kVip6, kLocal6, Address("2001:db8:99::1"), Backend6, 40, 20},
};
inline std::string FamilyName(const testing::TestParamInfo<FamilyCase>& info) {
  return info.param.name;
}

class Connection {
 public:
  Connection(Box& box, const FamilyCase& family, uint16_t client_port = 40000)
      : box_(box), client{family.client.address, net::Be16(client_port)}, vip(family.vip) {}

  Segment ToVip(uint8_t flags, const Bytes& options = {}, const Bytes& payload = {}) const {
    return {.source = client,
            .destination = vip,
            .sequence = client_next,
            .acknowledgment = flags & net::kTcpAck ? backend_next : 0,
            .flags = flags,
            .options = options,
            .payload = payload};
  }
  Segment ToLocal(uint8_t flags, const Bytes& options = {}, const Bytes& payload = {}) const {
    return {.source = backend,
            .destination = local,
            .sequence = backend_next,
            .acknowledgment = flags & net::kTcpAck ? client_next + delta : 0,
            .flags = flags,
            .options = options,
            .payload = payload};
  }

  // Each sends one segment and moves its sender on.
  Box::Outcome FromClient(uint8_t flags, const Bytes& options = {}, const Bytes& payload = {}) {
    Box::Outcome out = box_.FromClient(ToVip(flags, options, payload));
    if (flags == net::kTcpSyn && out.verdict == net::Verdict::kForwarded) {
      local = out.seen.source;
      backend = out.seen.destination;
      delta = out.seen.sequence - client_next;
    }
    client_next += static_cast<uint32_t>(payload.size()) +
                   ((flags & (net::kTcpSyn | net::kTcpFin)) != 0 ? 1 : 0);
    return out;
  }
  Box::Outcome FromBackend(uint8_t flags, const Bytes& options = {}, const Bytes& payload = {}) {
    Box::Outcome out = box_.FromBackend(ToLocal(flags, options, payload));
    backend_next += static_cast<uint32_t>(payload.size()) +
                    ((flags & (net::kTcpSyn | net::kTcpFin)) != 0 ? 1 : 0);
    return out;
  }
  void Open() {
    ASSERT_EQ(FromClient(net::kTcpSyn, MssOption(1460)).verdict, net::Verdict::kForwarded);
    ASSERT_EQ(FromBackend(net::kTcpSyn | net::kTcpAck, MssOption(1460)).verdict,
              net::Verdict::kForwarded);
    ASSERT_EQ(FromClient(net::kTcpAck).verdict, net::Verdict::kForwarded);
  }
  void Close() {
    FromClient(net::kTcpFin | net::kTcpAck);
    FromBackend(net::kTcpFin | net::kTcpAck);
    FromClient(net::kTcpAck);
  }
  core::FlowState* state() { return box_.StateOf({client, vip, net::L4Protocol::kTcp}); }

 private:
  Box& box_;

 public:
  net::Endpoint client, vip;
  net::Endpoint local, backend;       // known from the SYN on
  uint32_t client_next = 0xfffffff0;  // wraps early
  uint32_t backend_next = 5000;
  uint32_t delta = 0;  // backend's view of the client's sequence numbers, minus the client's
};

}  // namespace steelyard::test
