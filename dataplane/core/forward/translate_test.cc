// SPDX-License-Identifier: Apache-2.0
#include "core/forward/translate.h"

#include <gtest/gtest.h>

#include "packet/box.h"
#include "packet/random.h"

namespace steelyard::core {
namespace {

using test::Bytes;

net::Endpoint SomeEndpoint(test::Random& random, bool v4) {
  const net::Be16 port(static_cast<uint16_t>(random()));
  if (v4) return {net::Ipv4Address{net::Be32(random() | 1)}, port};
  net::Ipv6Address address;
  for (uint8_t& byte : address.bytes) byte = static_cast<uint8_t>(random());
  address.bytes[0] = 0x20;
  return {address, port};
}

Bytes FrameOf(const net::FlowKey& key, test::Random& random, bool without_checksum) {
  const Bytes payload = test::Pattern(random() % 60, static_cast<uint8_t>(random()));
  if (key.protocol == net::L4Protocol::kTcp)
    return test::TcpFrame(
        {.source = key.source, .destination = key.destination, .payload = payload});
  return test::UdpFrame({.source = key.source,
                         .destination = key.destination,
                         .payload = payload,
                         .without_checksum = without_checksum});
}

// A to B becomes C to D by one session, and C to D becomes A to B by its mirror image.
TEST(TranslatePacket, ThereAndBackIsIdentity) {
  test::Random random(1);
  test::Box box;
  for (int round = 0; round < 20'000; ++round) {
    const bool v4 = random() % 2;
    const auto protocol = random() % 2 ? net::L4Protocol::kTcp : net::L4Protocol::kUdp;
    const net::FlowKey in({SomeEndpoint(random, v4)}, {SomeEndpoint(random, v4)}, protocol);
    const net::FlowKey out({SomeEndpoint(random, v4)}, {SomeEndpoint(random, v4)}, protocol);
    const SessionId session = box.sessions().Insert({in, out}, {out, in});
    ASSERT_NE(session, kNoSession);

    const Bytes frame = FrameOf(in, random, v4 && random() % 4 == 0);
    const test::ExactBuffer buffer(frame);
    net::Packet packet = buffer.packet();
    const net::ParsedPacket parsed = net::ParsePacket(packet, test::kPortMac[0]);
    TranslatePacket(box.sessions(), RefOf(session, Direction::kForward), parsed, packet, {});
    test::Seen seen = test::Dissect(test::BytesOf(packet));
    ASSERT_EQ(seen.source, out.source);
    ASSERT_EQ(seen.destination, out.destination);
    ASSERT_EQ(seen.trouble, "");
    TranslatePacket(box.sessions(), RefOf(session, Direction::kReverse), parsed, packet, {});
    seen = test::Dissect(test::BytesOf(packet));
    ASSERT_EQ(seen.source, in.source);
    ASSERT_EQ(seen.payload, test::Dissect(frame).payload);
    ASSERT_EQ(seen.trouble, "");
    box.sessions().Remove(session);
  }
}

TEST(InsertTcpOption, KeepsPayloadOptionsAndTheAccountOfHeadroom) {
  test::Random random(2);
  for (int round = 0; round < 20'000; ++round) {
    const bool v4 = random() % 2;
    const auto bytes = static_cast<uint8_t>(4 + random() % 5 * 4);
    Bytes option(bytes);
    for (uint8_t& byte : option) byte = static_cast<uint8_t>(random());
    option[0] = 254;
    option[1] = bytes;
    const Bytes options = test::Concat({test::Nops(random() % 3), test::TimestampsOption(1, 2)});
    const Bytes frame = test::TcpFrame({.source = v4 ? test::kClient4 : test::kClient6,
                                        .destination = v4 ? test::kVip4 : test::kVip6,
                                        .options = options,
                                        .payload = test::Pattern(random() % 200)});
    const uint32_t headroom = bytes + random() % 3;
    const test::ExactBuffer buffer(frame, headroom);
    net::Packet packet = buffer.packet();
    net::ParsedPacket parsed = net::ParsePacket(packet, test::kPortMac[0]);
    const net::ChecksumDelta changes = InsertTcpOption(option.data(), bytes, parsed, packet);
    auto& tcp = net::HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
    tcp.checksum = changes.ApplyTo(tcp.checksum);

    ASSERT_EQ(packet.data + bytes, buffer.packet().data);
    ASSERT_EQ(packet.headroom, headroom - bytes);
    ASSERT_EQ(packet.length, frame.size() + bytes);
    const test::Seen before = test::Dissect(frame), after = test::Dissect(test::BytesOf(packet));
    ASSERT_EQ(after.trouble, "");
    ASSERT_EQ(after.options.at(254), option);
    ASSERT_EQ(after.options.at(net::kTcpOptionTimestamps),
              before.options.at(net::kTcpOptionTimestamps));
    ASSERT_EQ(after.payload, before.payload);
    ASSERT_EQ(after.destination_mac, before.destination_mac);
    // The offsets that follow are those of a parse anew.
    const net::ParsedPacket anew = net::ParsePacket(packet, test::kPortMac[0]);
    ASSERT_EQ(parsed.payload_offset, anew.payload_offset);
    ASSERT_EQ(parsed.l3_end, anew.l3_end);
    ASSERT_EQ(parsed.l4_offset, anew.l4_offset);
    ASSERT_EQ(parsed.timestamps_offset, anew.timestamps_offset);
  }
}

Bytes SomePacket(test::Random& random, bool tcp) {
  const bool v4 = random() % 2;
  const net::Endpoint source = v4 ? test::kClient4 : test::kClient6;
  const net::Endpoint destination = v4 ? test::kVip4 : test::kVip6;
  const Bytes payload = test::Pattern(random() % 200, static_cast<uint8_t>(random()));
  const test::IpFields fields =
      v4 ? test::IpFields{.options = test::Nops(random() % 3 * 4)}
         : test::IpFields{.extensions = {static_cast<uint8_t>(tcp ? 6 : 17), 0, 1, 4, 0, 0, 0, 0},
                          .first_extension = 60};
  if (!tcp)
    return test::UdpFrame({.source = source,
                           .destination = destination,
                           .payload = payload,
                           .without_checksum = v4 && random() % 3 == 0},
                          fields);
  return test::TcpFrame({.source = source,
                         .destination = destination,
                         .options = test::Nops(random() % 5),
                         .payload = payload},
                        fields);
}

test::Seen AfterChanges(const net::ParsedPacket& parsed, const net::Packet& packet,
                        net::ChecksumDelta changes) {
  if (parsed.protocol() == net::L4Protocol::kTcp) {
    auto& tcp = net::HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
    tcp.checksum = changes.ApplyTo(tcp.checksum);
  } else {
    auto& udp = net::HeaderAt<net::UdpHeader>(packet, parsed.l4_offset);
    if (udp.checksum.raw() != 0) udp.checksum = changes.ApplyToUdp(udp.checksum);
  }
  return test::Dissect(test::BytesOf(packet));
}

TEST(InsertPayload, StandsBeforeThePayloadInSegmentsAndDatagrams) {
  test::Random random(3);
  for (int round = 0; round < 20'000; ++round) {
    const bool tcp = random() % 2;
    const Bytes frame = SomePacket(random, tcp);
    const Bytes added = test::Pattern(2 + random() % 30 * 2, static_cast<uint8_t>(random()));
    const auto bytes = static_cast<uint8_t>(added.size());
    const test::ExactBuffer buffer(frame, bytes);
    net::Packet packet = buffer.packet();
    net::ParsedPacket parsed = net::ParsePacket(packet, test::kPortMac[0]);
    const net::ChecksumDelta changes = InsertPayload(added.data(), bytes, parsed, packet);
    const test::Seen after = AfterChanges(parsed, packet, changes), before = test::Dissect(frame);
    ASSERT_EQ(after.trouble, "");
    ASSERT_EQ(after.payload, test::Concat({added, before.payload}));
    ASSERT_EQ(after.options, before.options);
    ASSERT_EQ(after.udp_checksum == 0, before.udp_checksum == 0);
    ASSERT_EQ(packet.headroom, 0u);
    const net::ParsedPacket anew = net::ParsePacket(packet, test::kPortMac[0]);
    ASSERT_EQ(parsed.payload_offset, anew.payload_offset);
    ASSERT_EQ(parsed.l3_end, anew.l3_end);
  }
}

TEST(CutPayload, LeavesTheHeadersAndARightChecksum) {
  test::Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    const Bytes frame = SomePacket(random, true);
    const test::ExactBuffer buffer(frame);
    net::Packet packet = buffer.packet();
    net::ParsedPacket parsed = net::ParsePacket(packet, test::kPortMac[0]);
    const net::ChecksumDelta changes = CutPayload(parsed, packet);
    const test::Seen after = AfterChanges(parsed, packet, changes), before = test::Dissect(frame);
    ASSERT_EQ(after.trouble, "");
    ASSERT_EQ(after.payload, Bytes{});
    ASSERT_EQ(packet.length, frame.size() - before.payload.size());
    ASSERT_EQ(parsed.payload_bytes(), 0u);
    // All but the lengths and checksums.
    ASSERT_EQ(test::Slice(after.l4, 0, 16), test::Slice(before.l4, 0, 16));
  }
}

}  // namespace
}  // namespace steelyard::core
