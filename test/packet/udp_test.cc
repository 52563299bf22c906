// SPDX-License-Identifier: Apache-2.0
//
// UDP through full NAT.
#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::L4Protocol;
using net::Verdict;

class Udp : public testing::TestWithParam<FamilyCase> {
 protected:
  Udp() { box.AddUsualServices(2); }
  Datagram Request(uint16_t port = 40000, const Bytes& payload = Pattern(33)) const {
    return {.source = {family.client.address, net::Be16(port)},
            .destination = family.vip,
            .payload = payload};
  }
  static Datagram ReplyTo(const Seen& request, const Bytes& payload = Pattern(44)) {
    return {.source = request.destination, .destination = request.source, .payload = payload};
  }
  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, Udp, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(Udp, ThereAndBack) {
  for (size_t length = 0; length < 70; ++length) {
    const auto there = box.FromClient(Request(40000, Pattern(length)));
    ASSERT_EQ(there.verdict, Verdict::kForwarded);
    EXPECT_EQ(there.seen.source.address, family.local);
    EXPECT_EQ(there.out_port, kBackendPort);
    const auto back = box.FromBackend(ReplyTo(there.seen, Pattern(length)));
    ASSERT_EQ(back.verdict, Verdict::kForwarded);
    EXPECT_EQ(back.seen.source, family.vip);
    EXPECT_EQ(back.seen.destination, family.client);
  }
  EXPECT_EQ(box.sessions().size(), 1u);
}

TEST_P(Udp, EveryChecksumComesOutRight) {
  // Two bytes of payload run through all values, so that every checksum occurs, zero too.
  uint32_t all_ones = 0;
  for (uint32_t value = 0; value < 65536; ++value) {
    Bytes payload;
    Put16(payload, static_cast<uint16_t>(value));
    const auto there = box.FromClient(Request(40000, payload));
    ASSERT_EQ(there.seen.trouble, "") << value;
    ASSERT_NE(there.seen.udp_checksum, 0) << "would mean that there is none";
    all_ones += there.seen.udp_checksum == 0xffff;
  }
  EXPECT_GE(all_ones, 1u);
}

TEST_P(Udp, NoChecksumStaysNoneOnIpv4AndIsTheKernelsOnIpv6) {
  Datagram request = Request();
  request.without_checksum = true;
  const auto out = box.FromClient(request);
  if (family.client.address.is_v4()) {
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.udp_checksum, 0);
  } else {
    EXPECT_EQ(out.verdict, Verdict::kPunted);
  }
}

TEST_P(Udp, SessionsEndWhenIdle) {
  const auto first = box.FromClient(Request());
  for (int i = 0; i < 100; ++i) {
    box.Pass(1000);
    box.Expire();
    if (i % 20 == 19) {
      EXPECT_EQ(box.FromBackend(ReplyTo(first.seen)).verdict, Verdict::kForwarded);
    }
  }
  EXPECT_EQ(box.sessions().size(), 1u);
  for (int i = 0; i < 31; ++i) box.Pass(1000), box.Expire();
  EXPECT_EQ(box.sessions().size(), 0u);
  EXPECT_EQ(box.FromBackend(ReplyTo(first.seen)).verdict, Verdict::kPunted);
}

TEST_P(Udp, FlowsMoveAwayFromABackendThatKeepsNone) {
  const auto first = box.FromClient(Request());
  core::Service& service = box.service(family.vip, L4Protocol::kUdp);
  for (core::Backend& backend : service.backends)
    if (backend.endpoint == first.seen.destination)
      backend.available = backend.keeps_sessions = false;
  box.Compile();
  const auto next = box.FromClient(Request());
  ASSERT_EQ(next.verdict, Verdict::kForwarded);
  EXPECT_NE(next.seen.destination, first.seen.destination);
  EXPECT_EQ(box.sessions().size(), 1u);
}

TEST_P(Udp, FlowsStayWithADrainingBackend) {
  const auto first = box.FromClient(Request());
  core::Service& service = box.service(family.vip, L4Protocol::kUdp);
  for (core::Backend& backend : service.backends)
    if (backend.endpoint == first.seen.destination) backend.available = false;
  box.Compile();
  EXPECT_EQ(box.FromClient(Request()).seen.destination, first.seen.destination);
}

TEST_P(Udp, NoBackendNoServiceFullTable) {
  Datagram elsewhere = Request();
  elsewhere.destination.port = net::Be16(53);
  EXPECT_EQ(box.FromClient(elsewhere).verdict, Verdict::kPunted);
  Box small({.capacity = {1, 1}});
  small.AddUsualServices();
  EXPECT_EQ(small.FromClient(Request(1)).verdict, Verdict::kForwarded);
  EXPECT_EQ(small.FromClient(Request(2)).verdict, Verdict::kSessionTableFull);
  for (core::Service& service : small.services) {
    service.backends.clear();
  }
  small.Compile();
  EXPECT_EQ(small.FromClient(Request(2)).verdict, Verdict::kNoBackend);
}

TEST_P(Udp, OneBurstOfANewFlowMakesOneSession) {
  const Bytes frame = UdpFrame(Request());
  const auto out = box.ReceiveBurst(kClientPort, std::vector<Bytes>(32, frame));
  EXPECT_EQ(box.sessions().size(), 1u);
  for (const auto& each : out) EXPECT_EQ(each.frame, out[0].frame);
}

TEST_P(Udp, TcpAndUdpOfOnePortAreTwoServices) {
  const auto udp = box.FromClient(Request());
  Connection connection(box, family);
  const auto tcp = connection.FromClient(net::kTcpSyn);
  EXPECT_EQ(udp.verdict, Verdict::kForwarded);
  EXPECT_EQ(tcp.verdict, Verdict::kForwarded);
  EXPECT_EQ(box.sessions().size(), 2u);
}

}  // namespace
}  // namespace steelyard::test
