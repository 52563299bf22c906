// SPDX-License-Identifier: Apache-2.0
#include "net/parser.h"

#include <gtest/gtest.h>

#include "net/checksum.h"
#include "packet/packet_builder.h"
#include "packet/random.h"
#include "packet/strange_frames.h"

namespace steelyard::net {
namespace {

using test::Bytes;
using test::ExactBuffer;

ParsedPacket Parse(const Bytes& frame) {
  const ExactBuffer buffer(frame);
  return ParsePacket(buffer.packet(), test::kPortMac[0]);
}

// What every later stage relies on, whatever the bytes were.
void ExpectOffsetsInOrder(const ParsedPacket& parsed, size_t length) {
  if (parsed.packet_class != PacketClass::kFlow && parsed.packet_class != PacketClass::kIcmpError)
    return;
  EXPECT_GE(parsed.l4_offset, kL3Offset + 20);
  EXPECT_LE(parsed.l4_offset + 8, parsed.payload_offset);
  EXPECT_LE(parsed.payload_offset, parsed.l3_end);
  EXPECT_LE(parsed.l3_end, length);
  const bool quotes = parsed.packet_class == PacketClass::kIcmpError;
  const auto option_inside = [&](uint16_t offset, int bytes) {
    if (offset == 0) return;
    EXPECT_GE(offset, (quotes ? parsed.quoted_l4_offset : parsed.l4_offset) + 20);
    EXPECT_LE(offset + bytes, quotes ? parsed.l3_end : parsed.payload_offset);
  };
  option_inside(parsed.timestamps_offset, 10);
  option_inside(parsed.sack_offset, 10);
  option_inside(parsed.mss_offset, 4);
  if (quotes) {
    EXPECT_GE(parsed.quoted_l3_offset, parsed.l4_offset + 8);
    EXPECT_GE(parsed.quoted_l4_offset, parsed.quoted_l3_offset + 20);
    EXPECT_LE(parsed.quoted_l4_offset + 8, parsed.l3_end);
  }
}

TEST(Parser, EveryStrangeFrameGetsItsClass) {
  for (const test::StrangeFrame& strange : test::StrangeFrames()) {
    const ParsedPacket parsed = Parse(strange.frame);
    EXPECT_EQ(parsed.packet_class, strange.packet_class) << strange.name;
    if (strange.packet_class == PacketClass::kMalformed) {
      EXPECT_EQ(parsed.malformed, strange.verdict) << strange.name;
    }
    SCOPED_TRACE(strange.name);
    ExpectOffsetsInOrder(parsed, strange.frame.size());
  }
}

// A frame that ends early is never a whole one.
TEST(Parser, EveryFrameCutAtEveryLength) {
  for (const Bytes& frame : test::OrdinaryFrames()) {
    const PacketClass whole = Parse(frame).packet_class;
    for (size_t length = 0; length < frame.size(); ++length) {
      const ParsedPacket parsed = Parse(test::Slice(frame, 0, length));
      ExpectOffsetsInOrder(parsed, length);
      if (whole != PacketClass::kOther) {
        EXPECT_EQ(parsed.packet_class, PacketClass::kMalformed) << length;
      }
    }
  }
}

// The same with the IP lengths telling of the shorter packet: now it is layer 4 that is cut.
TEST(Parser, EveryDatagramCutAtEveryLength) {
  for (const Bytes& frame : test::OrdinaryFrames()) {
    const bool is_v4 = frame[12] == 0x08 && frame[13] == 0x00;
    const bool is_v6 = frame[12] == 0x86;
    if (!is_v4 && !is_v6) continue;
    const size_t least = is_v4 ? 14 + (frame[14] & 0xf) * 4u : 54;
    for (size_t length = least; length < frame.size(); ++length) {
      Bytes cut = test::Slice(frame, 0, length);
      test::Set16(cut, is_v4 ? 16 : 18, static_cast<uint16_t>(length - (is_v4 ? 14 : 54)));
      if (is_v4) test::FixIpv4Checksum(cut);
      ExpectOffsetsInOrder(Parse(cut), length);
      cut.resize(length + 40, 0xee);  // padding is not the packet's
      ExpectOffsetsInOrder(Parse(cut), length);
    }
  }
}

TEST(Parser, RandomlyAlteredFramesKeepTheLaws) {
  test::Random random(11);
  std::vector<Bytes> frames = test::OrdinaryFrames();
  for (const test::StrangeFrame& strange : test::StrangeFrames())
    if (strange.frame.size() < 2000) frames.push_back(strange.frame);
  for (int round = 0; round < 200'000; ++round) {
    Bytes frame = frames[random() % frames.size()];
    for (uint32_t left = random() % 4; left > 0 && frame.size() > 14; --left)
      frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
    if (random() % 4 == 0) frame.resize(random() % (frame.size() + 20));
    if (frame.size() >= 34 && random() % 4 != 0) test::FixIpv4Checksum(frame);
    if (frame.size() >= 54 && frame[12] == 0x86 && random() % 2 == 0)
      test::Set16(frame, 18, static_cast<uint16_t>(frame.size() - 54));
    ExpectOffsetsInOrder(Parse(frame), frame.size());
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST(Parser, FindsKeyAndOptionsOfASegment) {
  using namespace test;
  for (const auto& [source, destination] : {std::pair(kClient4, kVip4), std::pair(kClient6, kVip6)})
    for (size_t shift = 0; shift < 4; ++shift) {
      const Bytes frame = TcpFrame(
          {.source = source,
           .destination = destination,
           .options =
               Concat({Nops(shift), MssOption(1400), TimestampsOption(1, 2), SackOption({{3, 4}})}),
           .payload = Pattern(11)});
      const ParsedPacket parsed = Parse(frame);
      ASSERT_EQ(parsed.packet_class, PacketClass::kFlow);
      EXPECT_EQ(parsed.key(), FlowKey(source, destination, L4Protocol::kTcp));
      EXPECT_EQ(parsed.payload_bytes(), 11u);
      EXPECT_EQ(parsed.l3_end, frame.size());
      const size_t options = parsed.l4_offset + 20 + shift;
      EXPECT_EQ(parsed.mss_offset, options);
      EXPECT_EQ(parsed.timestamps_offset, options + 4);
      EXPECT_EQ(parsed.sack_offset, options + 14);
      EXPECT_FALSE(parsed.has_other_options);
    }
}

TEST(Parser, TheUsualOptionsAreFoundAsByTheWalk) {
  using namespace test;
  Segment segment{.source = kClient4,
                  .destination = kVip4,
                  .options = Concat({Nops(2), TimestampsOption(5, 6)})};
  const ParsedPacket usual = Parse(TcpFrame(segment));
  segment.options = Concat({Nops(2), TimestampsOption(5, 6), Nops(4)});
  const ParsedPacket walked = Parse(TcpFrame(segment));
  EXPECT_EQ(usual.timestamps_offset, 14 + 20 + 20 + 2);
  EXPECT_EQ(usual.timestamps_offset, walked.timestamps_offset);
}

TEST(Parser, SeesForgedClientAddressesAtAnyPlace) {
  using namespace test;
  for (size_t before = 0; before < 20; ++before)
    EXPECT_TRUE(
        Parse(TcpFrame({.source = kClient4,
                        .destination = kVip4,
                        .options = Concat({Nops(before), ClientAddressOption(254, kClient4)})}))
            .has_other_options)
        << before;
}

TEST(Parser, QuotedPacketOfAnError) {
  using namespace test;
  const Bytes quoted = Ip(kVip4.address, kClient4.address, 17,
                          Udp({.source = kVip4, .destination = kClient4, .payload = Pattern(9)}));
  const ParsedPacket parsed =
      Parse(IcmpFrame(Address("203.0.113.1"), kVip4.address, 3, 4, 1400, quoted));
  ASSERT_EQ(parsed.packet_class, PacketClass::kIcmpError);
  EXPECT_EQ(parsed.key(), FlowKey(kVip4, kClient4, L4Protocol::kUdp));
  EXPECT_EQ(parsed.quoted_l3_offset, 14 + 20 + 8);
  EXPECT_EQ(parsed.quoted_l4_offset, 14 + 20 + 8 + 20);
}

// A regression: errors about packets with extension headers were nobody's.
TEST(Parser, QuotedExtensionHeadersAreWalked) {
  using namespace test;
  const Bytes udp = Udp({.source = kVip6, .destination = kClient6, .payload = Pattern(9)});
  const auto parse = [&](uint8_t header, const Bytes& content, size_t cut = 0) {
    const Bytes quoted = Ip(kVip6.address, kClient6.address, header,
                            Concat({content, Slice(udp, 0, udp.size() - cut)}));
    return Parse(IcmpFrame(Address("2001:db8::1"), kVip6.address, 2, 0, 1400, quoted));
  };
  const Bytes options = {17, 0, 1, 4, 0, 0, 0, 0};
  const Bytes first_fragment = {17, 0, 0, 1, 0, 0, 0, 7};
  const Bytes later_fragment = {17, 0, 0, 9, 0, 0, 0, 7};
  for (const auto& [header, content] :
       {std::pair{uint8_t{60}, options}, std::pair{uint8_t{44}, first_fragment}}) {
    const ParsedPacket parsed = parse(header, content);
    ASSERT_EQ(parsed.packet_class, PacketClass::kIcmpError) << +header;
    EXPECT_EQ(parsed.key(), FlowKey(kVip6, kClient6, L4Protocol::kUdp));
    EXPECT_EQ(parsed.quoted_l4_offset, 14 + 40 + 8 + 40 + 8);
    EXPECT_EQ(parse(header, content, udp.size() - 7).packet_class, PacketClass::kOther);
  }
  EXPECT_EQ(parse(44, later_fragment).packet_class, PacketClass::kOther);
}

TEST(Parser, QuotedOptionsAreNotedOnlyOfAWholeHeader) {
  using namespace test;
  const Segment segment{.source = kVip4,
                        .destination = kClient4,
                        .options = Concat({Nops(1), TimestampsOption(5, 6), Nops(1)})};
  const Bytes quoted = Ip(kVip4.address, kClient4.address, 6, Tcp(segment));
  for (size_t bytes = 28; bytes <= quoted.size(); ++bytes) {
    const ParsedPacket parsed =
        Parse(IcmpFrame(Address("203.0.113.1"), kVip4.address, 3, 3, 0, Slice(quoted, 0, bytes)));
    ASSERT_EQ(parsed.packet_class, PacketClass::kIcmpError);
    EXPECT_EQ(parsed.timestamps_offset, bytes < 52 ? 0 : 14 + 28 + 20 + 20 + 1);
  }
}

TEST(TcpOptionWalker, VisitsEveryOptionOnce) {
  const Bytes options = test::Concat({test::Nops(1),
                                      test::MssOption(1),
                                      test::Nops(2),
                                      test::TimestampsOption(1, 2),
                                      {0, 99, 99, 99}});
  TcpOptionWalker walker(options.data(), options.size());
  EXPECT_EQ(walker.Next()[0], kTcpOptionMss);
  EXPECT_EQ(walker.Next()[0], kTcpOptionTimestamps);
  EXPECT_EQ(walker.Next(), nullptr);
  EXPECT_EQ(walker.Next(), nullptr);
}

}  // namespace
}  // namespace steelyard::net
