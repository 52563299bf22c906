// SPDX-License-Identifier: Apache-2.0
#include "core/forward/tcp_adjust.h"

#include <gtest/gtest.h>

#include "packet/packet_builder.h"
#include "packet/random.h"
#include "packet/strange_frames.h"

namespace steelyard::core {
namespace {

using net::ChecksumDelta;
using net::Packet;
using net::ParsedPacket;
using test::Bytes;
using test::Concat;
using test::Nops;

// A parsed segment, to be adjusted in place.
struct SegmentInMemory {
  explicit SegmentInMemory(const Bytes& frame)
      : buffer(frame, 64),
        packet(buffer.packet()),
        parsed(net::ParsePacket(packet, test::kPortMac[0])) {
    EXPECT_EQ(parsed.packet_class, net::PacketClass::kFlow);
  }
  // The changed checksum goes where it belongs; everything is summed from scratch.
  test::Seen After(ChecksumDelta changes) {
    auto& tcp = net::HeaderAt<net::TcpHeader>(packet, parsed.l4_offset);
    tcp.checksum = changes.ApplyTo(tcp.checksum);
    const test::Seen seen = test::Dissect(test::BytesOf(packet));
    EXPECT_EQ(seen.trouble, "");
    return seen;
  }
  test::ExactBuffer buffer;
  Packet packet;
  ParsedPacket parsed;
};

// Options in any order and at any offset, even or odd.
Bytes SomeOptions(test::Random& random) {
  std::vector<Bytes> parts = {Nops(random() % 3)};
  if (random() % 2) parts.push_back(test::MssOption(static_cast<uint16_t>(random())));
  parts.push_back(Nops(random() % 2));
  if (random() % 2) parts.push_back(test::TimestampsOption(random(), random()));
  parts.push_back(Nops(random() % 2));
  if (random() % 2) {
    std::vector<std::pair<uint32_t, uint32_t>> blocks(1 + random() % 2);
    for (auto& block : blocks) block = {random(), random()};
    parts.push_back(test::SackOption(blocks));
  }
  Bytes options;
  for (const Bytes& part : parts) test::Put(options, part);
  return options;
}

Bytes SomeFrame(test::Random& random, uint8_t flags = net::kTcpAck) {
  const bool v4 = random() % 2;
  return test::TcpFrame({.source = v4 ? test::kClient4 : test::kClient6,
                         .destination = v4 ? test::kVip4 : test::kVip6,
                         .sequence = random(),
                         .acknowledgment = random(),
                         .flags = flags,
                         .options = SomeOptions(random),
                         .payload = test::Pattern(random() % 50)});
}

TEST(TcpAdjust, ShiftsAreRightUnderTheChecksumAndTurnBack) {
  test::Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    const Bytes frame = SomeFrame(random);
    const test::Seen before = test::Dissect(frame);
    SegmentInMemory segment(frame);
    const uint32_t sequence_delta = random(), timestamp_delta = random();

    test::Seen after = segment.After(
        ShiftSequence(sequence_delta, timestamp_delta, segment.parsed, segment.packet));
    ASSERT_EQ(after.sequence, before.sequence + sequence_delta);
    ASSERT_EQ(after.acknowledgment, before.acknowledgment);
    if (before.options.contains(net::kTcpOptionTimestamps)) {
      ASSERT_EQ(after.timestamp(), before.timestamp() + timestamp_delta);
      ASSERT_EQ(after.timestamp_echo(), before.timestamp_echo());
    }
    segment.After(
        ShiftSequence(0 - sequence_delta, 0 - timestamp_delta, segment.parsed, segment.packet));
    ASSERT_EQ(test::Dissect(test::BytesOf(segment.packet)).options, before.options);

    after = segment.After(
        ShiftAcknowledgment(sequence_delta, timestamp_delta, segment.parsed, segment.packet));
    ASSERT_EQ(after.sequence, before.sequence);
    ASSERT_EQ(after.acknowledgment, before.acknowledgment - sequence_delta);
    if (before.options.contains(net::kTcpOptionTimestamps)) {
      ASSERT_EQ(after.timestamp(), before.timestamp());
      ASSERT_EQ(after.timestamp_echo(), before.timestamp_echo() - timestamp_delta);
    }
    if (before.options.contains(net::kTcpOptionSack)) {
      const Bytes& was = before.options.at(net::kTcpOptionSack);
      const Bytes& is = after.options.at(net::kTcpOptionSack);
      for (size_t at = 2; at < was.size(); at += 4)
        ASSERT_EQ(test::Get32(is, at), test::Get32(was, at) - sequence_delta);
    }
    segment.After(ShiftAcknowledgment(0 - sequence_delta, 0 - timestamp_delta, segment.parsed,
                                      segment.packet));
    // One's complement has two zeros: but for the checksum the bytes are the same again.
    Bytes there_and_back = test::BytesOf(segment.packet);
    test::Set16(there_and_back, segment.parsed.l4_offset + 16u,
                test::Get16(frame, segment.parsed.l4_offset + 16u));
    ASSERT_EQ(there_and_back, frame);
  }
}

TEST(TcpAdjust, WithoutAckNothingIsAcknowledged) {
  test::Random random(2);
  const Bytes frame = SomeFrame(random, net::kTcpRst);
  SegmentInMemory segment(frame);
  ShiftAcknowledgment(1, 1, segment.parsed, segment.packet);
  EXPECT_EQ(test::BytesOf(segment.packet), frame);
}

TEST(TcpAdjust, MssIsClampedAtAnyOffsetAndNeverRaised) {
  test::Random random(3);
  for (int round = 0; round < 20'000; ++round) {
    const Bytes frame = SomeFrame(random, net::kTcpSyn);
    const test::Seen before = test::Dissect(frame);
    SegmentInMemory segment(frame);
    const auto most = static_cast<uint16_t>(random());
    const test::Seen after = segment.After(ClampMss(most, segment.parsed, segment.packet));
    if (before.options.contains(net::kTcpOptionMss)) {
      ASSERT_EQ(after.mss(), std::min(before.mss(), most));
    } else {
      ASSERT_EQ(test::BytesOf(segment.packet), frame);
    }
  }
}

TEST(TcpAdjust, BlankingLeavesPaddingAndEverythingElse) {
  constexpr uint8_t kKind = 254;
  test::Random random(4);
  for (int round = 0; round < 20'000; ++round) {
    const size_t in_front = random() % 4, between = random() % 3;
    Bytes forged(2 + random() % 8, 0xab), other(2 + random() % 5, 0xcd);
    forged[0] = kKind;
    other[0] = 77;
    forged[1] = static_cast<uint8_t>(forged.size());
    other[1] = static_cast<uint8_t>(other.size());
    const Bytes options =
        Concat({Nops(in_front), forged, Nops(between), other, forged, test::MssOption(1000)});
    const Bytes frame = test::TcpFrame({.source = test::kClient4,
                                        .destination = test::kVip4,
                                        .options = options,
                                        .payload = test::Pattern(9)});
    SegmentInMemory segment(frame);
    const test::Seen after = segment.After(BlankTcpOptions(kKind, segment.parsed, segment.packet));
    ASSERT_FALSE(after.options.contains(kKind));
    ASSERT_EQ(after.options.at(77), other);
    ASSERT_EQ(after.mss(), 1000);
    ASSERT_EQ(after.l4.size(), test::Dissect(frame).l4.size());
  }
}

// The other side counts `hidden` numbers before `first` that this side never sent. Its numbers,
// moved so that both agree from `first` on, are taken back one by one.
TEST(TcpAdjust, HiddenSequenceNumbersAreNeverShown) {
  for (const uint32_t first : {1000u, 5u, 0xfffffff0u})
    for (const uint32_t hidden : {0u, 1u, 28u, 52u})
      for (int32_t place = -200; place < 200; ++place) {
        const auto shown = static_cast<int32_t>(
            WithoutHidden(first + static_cast<uint32_t>(place), first, hidden) - first);
        if (place >= 0)
          EXPECT_EQ(shown, place);
        else
          EXPECT_EQ(shown, std::min(0, place + static_cast<int32_t>(hidden)));
      }
}

TEST(TcpAdjust, SackBlocksOfHiddenNumbersBecomePadding) {
  test::Random random(5);
  for (int round = 0; round < 20'000; ++round) {
    const uint32_t first = random(), hidden = random() % 60;
    const auto near = [&] { return first + random() % 200 - 100; };
    std::vector<std::pair<uint32_t, uint32_t>> blocks(1 + random() % 4), left;
    for (auto& block : blocks) {
      block.first = near();
      block.second = block.first + 1 + random() % 60;
      const std::pair shown(WithoutHidden(block.first, first, hidden),
                            WithoutHidden(block.second, first, hidden));
      if (shown.first != shown.second) left.push_back(shown);
    }
    const uint32_t acknowledgment = near();
    const Bytes options = Concat({Nops(random() % 3), test::SackOption(blocks)});
    SegmentInMemory segment(test::TcpFrame({.source = test::kClient4,
                                            .destination = test::kVip4,
                                            .acknowledgment = acknowledgment,
                                            .options = options,
                                            .payload = test::Pattern(random() % 9)}));
    const test::Seen after =
        segment.After(HideSequenceNumbers(first, hidden, segment.parsed, segment.packet));
    ASSERT_EQ(after.acknowledgment, WithoutHidden(acknowledgment, first, hidden));
    ASSERT_EQ(after.header_bytes, 20 + (options.size() + 3) / 4 * 4);
    if (left.empty())
      ASSERT_FALSE(after.options.contains(net::kTcpOptionSack));
    else
      ASSERT_EQ(after.options.at(net::kTcpOptionSack), test::SackOption(left));
  }
}

}  // namespace
}  // namespace steelyard::core
