// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors about packets of sessions, in both directions (RFC 5508 section 4, RFC 4443).
#include "packet/connection.h"

namespace steelyard::test {
namespace {

using net::kTcpAck;
using net::kTcpSyn;
using net::Verdict;

struct ErrorType {
  uint8_t type, code;
};

class IcmpError : public testing::TestWithParam<FamilyCase> {
 protected:
  IcmpError() { box.AddUsualServices(); }
  bool v4() const { return family.client.address.is_v4(); }
  ErrorType Unreachable() const { return v4() ? ErrorType{3, 3} : ErrorType{1, 4}; }
  ErrorType TooBig() const { return v4() ? ErrorType{3, 4} : ErrorType{2, 0}; }
  std::vector<ErrorType> AllTypes() const {
    if (v4()) return {{3, 0}, {3, 1}, {3, 3}, {3, 4}, {3, 13}, {11, 0}, {11, 1}, {12, 0}};
    return {{1, 0}, {1, 3}, {1, 4}, {2, 0}, {3, 0}, {4, 0}, {4, 1}};
  }

  static Bytes IpPacketOf(const Bytes& frame) { return Slice(frame, 14, frame.size()); }
  // What its sender would see of it at the place where the error was made: its own packet with
  // less TTL.
  Bytes AsSentWithTtl(Bytes frame, uint8_t ttl) const {
    frame[v4() ? 22 : 21] = ttl;
    if (v4()) FixIpv4Checksum(frame);
    return IpPacketOf(frame);
  }

  // An error about a packet that left the box, made by a router behind it; `quoted_bytes` of it
  // are quoted.
  Bytes ErrorAbout(const Box::Outcome& sent, ErrorType error, size_t quoted_bytes,
                   uint32_t rest = 0) const {
    const Bytes quoted = IpPacketOf(sent.frame);
    return IcmpFrame(family.router, sent.seen.source.address, error.type, error.code, rest,
                     Slice(quoted, 0, std::min(quoted_bytes, quoted.size())));
  }

  // The law: whoever gets the error finds its own packet in it.
  void ExpectTranslated(core::PortId in_port, const Bytes& sent, const Box::Outcome& left,
                        const net::Endpoint& sender, const net::IpAddress& peer) {
    ASSERT_EQ(left.verdict, Verdict::kForwarded);
    const size_t least = family.ip_header_bytes + 8u;
    for (const ErrorType error : AllTypes())
      for (size_t bytes = least; bytes <= left.frame.size() - 14; bytes += 4) {
        const auto out = box.Receive(in_port, ErrorAbout(left, error, bytes, 0x04d2));
        ASSERT_EQ(out.verdict, Verdict::kForwarded) << bytes;
        EXPECT_EQ(out.seen.trouble, "");
        EXPECT_EQ(out.seen.destination.address, sender.address);
        EXPECT_EQ(out.seen.source.address, peer);
        EXPECT_EQ(out.seen.icmp_type, error.type);
        EXPECT_EQ(out.seen.icmp_code, error.code);
        EXPECT_EQ(out.seen.quoted, Slice(AsSentWithTtl(sent, left.seen.ttl), 0, bytes))
            << +error.type << "/" << +error.code << ", " << bytes << " bytes quoted";
        if (HasFailure()) return;
      }
  }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpError, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(IcmpError, AboutTheClientsDatagram) {
  const Bytes sent =
      UdpFrame({.source = family.client, .destination = family.vip, .payload = Pattern(21)});
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), family.client,
                   family.vip.address);
}

TEST_P(IcmpError, AboutTheBackendsDatagram) {
  const auto request = box.FromClient(
      Datagram{.source = family.client, .destination = family.vip, .payload = Pattern(21)});
  const Bytes sent = UdpFrame({.source = request.seen.destination,
                               .destination = request.seen.source,
                               .payload = Pattern(30)});
  ExpectTranslated(kClientPort, sent, box.Receive(kBackendPort, sent), family.backend(0),
                   family.local);
}

TEST_P(IcmpError, AboutADatagramWithoutChecksum) {
  if (!v4()) return;  // there is none
  const Bytes sent = UdpFrame({.source = family.client,
                               .destination = family.vip,
                               .payload = Pattern(21),
                               .without_checksum = true});
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), family.client,
                   family.vip.address);
}

// A regression: such errors went to the kernel, and path-MTU discovery with them.
TEST_P(IcmpError, AboutADatagramWithAnExtensionHeader) {
  if (v4()) return;
  Bytes sent =
      UdpFrame({.source = family.client, .destination = family.vip, .payload = Pattern(21)});
  const Bytes destination_options = {17, 0, 1, 4, 0, 0, 0, 0};
  sent.insert(sent.begin() + 54, destination_options.begin(), destination_options.end());
  sent[20] = 60;
  sent[19] = static_cast<uint8_t>(sent[19] + destination_options.size());
  const auto left = box.Receive(kClientPort, sent);
  ASSERT_EQ(left.verdict, Verdict::kForwarded);
  const auto out = box.Receive(kBackendPort, ErrorAbout(left, TooBig(), 1000, 1400));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.destination.address, family.client.address);
  EXPECT_EQ(out.seen.quoted, AsSentWithTtl(sent, left.seen.ttl));
}

TEST_P(IcmpError, AboutTheClientsSegment) {
  Connection connection(box, family);
  connection.Open();
  const Bytes sent = TcpFrame(connection.ToVip(kTcpAck, {}, Pattern(25)));
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), family.client,
                   family.vip.address);
}

TEST_P(IcmpError, AboutTheBackendsSegment) {
  Connection connection(box, family);
  connection.Open();
  const Bytes sent = TcpFrame(connection.ToLocal(kTcpAck, {}, Pattern(25)));
  ExpectTranslated(kClientPort, sent, box.Receive(kBackendPort, sent), family.backend(0),
                   family.local);
}

// Its acknowledgment was not translated, for it has none. (Of a quote that ends before the flags
// nobody can tell.)
TEST_P(IcmpError, AboutARstWithoutAck) {
  Connection connection(box, family);
  connection.Open();
  const Bytes sent = TcpFrame(connection.ToLocal(net::kTcpRst));
  const auto left = box.Receive(kBackendPort, sent);
  for (const size_t tcp_bytes : {8, 16, 20}) {
    const size_t bytes = family.ip_header_bytes + tcp_bytes;
    const auto out = box.Receive(kClientPort, ErrorAbout(left, Unreachable(), bytes));
    EXPECT_EQ(out.seen.quoted, Slice(AsSentWithTtl(sent, left.seen.ttl), 0, bytes)) << tcp_bytes;
  }
}

TEST_P(IcmpError, AboutASyn) {
  const Bytes sent = TcpFrame(Connection(box, family).ToVip(kTcpSyn, MssOption(1000)));
  ExpectTranslated(kBackendPort, sent, box.Receive(kClientPort, sent), family.client,
                   family.vip.address);
}

TEST_P(IcmpError, MtuIsToldAsItIs) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck, {}, Pattern(1000));
  const auto out = box.Receive(kBackendPort, ErrorAbout(sent, TooBig(), 100, 1400));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.icmp_rest, 1400u);
}

TEST_P(IcmpError, MtuShrinksByTheClientAddressWhileItIsAdded) {
  box.service(family.vip, net::L4Protocol::kTcp).client_address.carrier =
      core::ClientAddressCarrier::kToa;
  box.Compile();
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck, {}, Pattern(1000));
  const auto told = [&](uint32_t mtu, core::PortId port, const Box::Outcome& about) {
    const auto out = box.Receive(port, ErrorAbout(about, TooBig(), 100, mtu));
    EXPECT_EQ(out.verdict, Verdict::kForwarded);
    return out.seen.icmp_rest;
  };
  const uint32_t least = v4() ? 68 : 1280;
  const uint32_t added = family.option_bytes;
  EXPECT_EQ(told(1400, kBackendPort, sent), 1400 - added);
  EXPECT_EQ(told(least + added, kBackendPort, sent), least);
  EXPECT_EQ(told(0, kBackendPort, sent), 0u) << "a router that tells none";
  // To the backend nothing is added on the way.
  const auto reply = connection.FromBackend(kTcpAck);
  EXPECT_EQ(told(1400, kClientPort, reply), 1400u);
  // Nor is anything when the backend has spoken.
  connection.FromBackend(kTcpAck, {}, Pattern(1));
  EXPECT_EQ(told(1400, kBackendPort, sent), 1400u);
}

// With the client's address in it, it is not byte for byte the client's; what a host looks at is.
TEST_P(IcmpError, AboutASegmentWithTheClientAddress) {
  box.service(family.vip, net::L4Protocol::kTcp).client_address.carrier =
      core::ClientAddressCarrier::kToa;
  box.Compile();
  Connection connection(box, family);
  connection.Open();
  const uint32_t sequence = connection.client_next;
  const auto sent = connection.FromClient(kTcpAck, {}, Pattern(50));
  const auto out = box.Receive(kBackendPort, ErrorAbout(sent, Unreachable(), 1000));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  const Seen quoted = Dissect(Frame(out.seen.quoted));
  EXPECT_EQ(quoted.trouble, "");
  EXPECT_EQ(quoted.source, family.client);
  EXPECT_EQ(quoted.destination, family.vip);
  EXPECT_EQ(quoted.sequence, sequence);
}

TEST_P(IcmpError, AboutNobodysPacketIsTheKernels) {
  Connection connection(box, family);
  connection.Open();
  auto sent = connection.FromClient(kTcpAck);
  Set16(sent.frame, 14u + family.ip_header_bytes, 1);  // another port
  EXPECT_EQ(box.Receive(kBackendPort, ErrorAbout(sent, Unreachable(), 100)).verdict,
            Verdict::kPunted);
}

TEST_P(IcmpError, WithAWrongChecksumIsDropped) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck);
  Bytes error = ErrorAbout(sent, Unreachable(), 100);
  error.back() = static_cast<uint8_t>(~error.back());
  EXPECT_EQ(box.Receive(kBackendPort, error).verdict, Verdict::kMalformedIcmp);
}

TEST_P(IcmpError, TtlRunsOut) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck);
  Bytes error = ErrorAbout(sent, Unreachable(), 100);
  error[v4() ? 22 : 21] = 1;
  if (v4()) FixIpv4Checksum(error);
  EXPECT_EQ(box.Receive(kBackendPort, error).verdict, Verdict::kTtlExceeded);
}

// An error tells of a packet; it is none of the connection.
TEST_P(IcmpError, ChangesNothingInTheSession) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck);
  const core::FlowState before = *connection.state();
  box.Pass(5000);
  box.Receive(kBackendPort, ErrorAbout(sent, Unreachable(), 100));
  EXPECT_EQ(connection.state()->last_seen_ms, before.last_seen_ms);
  EXPECT_EQ(connection.state()->packets, before.packets);
  EXPECT_EQ(connection.state()->tcp_state, before.tcp_state);
}

TEST_P(IcmpError, PaddingDoesNotTravelOn) {
  Connection connection(box, family);
  connection.Open();
  const auto sent = connection.FromClient(kTcpAck);
  Bytes error = ErrorAbout(sent, Unreachable(), family.ip_header_bytes + 8u);
  const size_t whole = error.size();
  error.resize(whole + 20, 0xee);
  const auto out = box.Receive(kBackendPort, error);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.frame.size(), whole);
}

// The quoted options are the sender's again, too, where they are quoted whole.
TEST_P(IcmpError, AboutSegmentsWithTimestampsAndSack) {
  Connection connection(box, family);
  const auto syn = connection.FromClient(kTcpSyn, TimestampsOption(1000, 0));
  const uint32_t clock_delta = syn.seen.timestamp() - 1000;
  connection.FromBackend(kTcpSyn | kTcpAck, TimestampsOption(9, 1000 + clock_delta));
  for (const size_t shift : {0, 1, 2}) {
    const Bytes from_client = TcpFrame(connection.ToVip(
        kTcpAck, Concat({Nops(shift), TimestampsOption(1001, 9), SackOption({{5, 6}})})));
    const auto there = box.Receive(kClientPort, from_client);
    const auto to_client =
        box.Receive(kBackendPort, ErrorAbout(there, Unreachable(), there.seen.l3_bytes));
    EXPECT_EQ(to_client.seen.quoted, AsSentWithTtl(from_client, there.seen.ttl));
    const uint32_t lost = connection.client_next + connection.delta + 100;
    const Bytes from_backend = TcpFrame(
        connection.ToLocal(kTcpAck, Concat({Nops(shift), TimestampsOption(10, 1001 + clock_delta),
                                            SackOption({{lost, lost + 9}})})));
    const auto back = box.Receive(kBackendPort, from_backend);
    const auto to_backend =
        box.Receive(kClientPort, ErrorAbout(back, Unreachable(), back.seen.l3_bytes));
    EXPECT_EQ(to_backend.seen.quoted, AsSentWithTtl(from_backend, back.seen.ttl));
  }
}

}  // namespace
}  // namespace steelyard::test
