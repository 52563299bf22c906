// SPDX-License-Identifier: Apache-2.0
#include "core/fragment/reassembler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <new>
#include <optional>

#include "packet/packet_builder.h"
#include "packet/random.h"
#include "packet/strange_frames.h"

namespace steelyard::core {
namespace {

using net::Verdict;
using namespace test;  // NOLINT: what every line here builds packets with

struct FamilyCase {
  const char* name;
  net::Endpoint client, vip;
};
// Before UDP.
const Bytes kHopByHopPadding{17, 0, 1, 4, 0, 0, 0, 0};

const FamilyCase kFamilyCases[] = {{"IPv4", kClient4, kVip4}, {"IPv6", kClient6, kVip6}};

class ReassemblerTest : public testing::TestWithParam<FamilyCase> {
 protected:
  void Make(const ReassemblyLimits& limits) {
    const size_t bytes = Reassembler::RequiredBytes(limits);
    memory_.reset(new (std::align_val_t{64}) std::byte[bytes]);
    std::fill_n(memory_.get(), bytes, std::byte{0xa5});  // nobody promises zeros
    reassembler_.emplace(std::span(memory_.get(), bytes), limits, HashSecret());
  }
  ReassemblerTest() { Make({.datagrams = 64, .datagrams_per_source = 64}); }

  Reassembler& reassembler() { return *reassembler_; }

  Verdict Add(const Bytes& frame) {
    const ExactBuffer buffer(frame);
    const net::ParsedPacket parsed = net::ParsePacket(buffer.packet(), kPortMac[0]);
    EXPECT_EQ(parsed.packet_class, net::PacketClass::kFragment);
    return reassembler_->Add(buffer.packet(), parsed, Steered::kNot, now_ns_);
  }
  void AddAll(const std::vector<Bytes>& fragments) {
    for (const Bytes& fragment : fragments) EXPECT_EQ(Add(fragment), Verdict::kConsumed);
  }

  std::vector<Bytes> Take() {
    std::vector<Bytes> complete;
    while (reassembler_->HasComplete()) {
      Burst burst;
      reassembler_->TakeComplete(burst);
      EXPECT_TRUE(burst.is_reassembled);
      for (uint32_t i = 0; i < burst.count; ++i) {
        EXPECT_GE(burst.packet[i].headroom, Reassembler::kHeadroom);
        EXPECT_EQ(burst.buffer[i], nullptr);
        complete.push_back(BytesOf(burst.packet[i]));
      }
      reassembler_->ReleaseTaken();
    }
    return complete;
  }

  // A datagram as it looks when it was put together: none of IPv4's flags, identification 77.
  Bytes Datagram(size_t payload_bytes, IpFields fields = {}) const {
    return DatagramFrom(family_.client, payload_bytes, fields);
  }
  Bytes DatagramFrom(const net::Endpoint& client, size_t payload_bytes,
                     IpFields fields = {}) const {
    fields.flags_and_offset = 0;
    fields.identification = 77;
    return UdpFrame(
        {.source = client, .destination = family_.vip, .payload = Pattern(payload_bytes)}, fields);
  }
  bool is_v4() const { return family_.client.address.is_v4(); }

  const FamilyCase& family_ = GetParam();
  uint64_t now_ns_ = 1'000'000'000;
  Random random_{1};

 private:
  struct AlignedFree {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], AlignedFree> memory_;
  std::optional<Reassembler> reassembler_;
};
INSTANTIATE_TEST_SUITE_P(Family, ReassemblerTest, testing::ValuesIn(kFamilyCases),
                         [](const auto& family) { return std::string(family.param.name); });

std::vector<size_t> RandomCuts(size_t bytes, Random& random) {
  std::vector<size_t> cuts;
  const uint32_t largest_step = 1 + random() % 200;
  for (size_t at = 8 * (1 + random() % largest_step); at < bytes;
       at += 8 * (1 + random() % largest_step))
    cuts.push_back(at);
  if (cuts.empty()) cuts.push_back(8);
  return cuts;
}

// --- laws --------------------------------------------------------------------------------------

TEST_P(ReassemblerTest, WhateverTheCutsTheOrderAndTheDuplicatesItIsTheDatagram) {
  for (int round = 0; round < 300; ++round) {
    IpFields fields;
    if (round % 3 == 1) fields.options = Nops(random_() % 40);
    if (round % 3 == 1 && !is_v4()) fields.extensions = kHopByHopPadding;
    const size_t payload_bytes = 1 + random_() % (round % 10 == 0 ? 60'000 : 4'000);
    const Bytes datagram = Datagram(payload_bytes, fields);
    std::vector<Bytes> fragments =
        Fragments(datagram, RandomCuts(FragmentableBytes(datagram), random_));
    // One comes last, alone; the others may come twice.
    std::shuffle(fragments.begin(), fragments.end(), std::mt19937(random_()));
    const Bytes last = fragments.back();
    fragments.pop_back();
    for (uint32_t left = random_() % 5; left > 0 && !fragments.empty(); --left)
      fragments.push_back(fragments[random_() % fragments.size()]);
    AddAll(fragments);
    ASSERT_FALSE(reassembler().HasComplete());
    ASSERT_EQ(Add(last), Verdict::kConsumed);
    ASSERT_EQ(Take(), std::vector<Bytes>{datagram}) << "round " << round;
    ASSERT_EQ(reassembler().size(), 0u);
  }
}

TEST_P(ReassemblerTest, DatagramsOfManyPeersDoNotMix) {
  std::vector<Bytes> datagrams;
  std::vector<Bytes> fragments;
  for (uint32_t i = 0; i < 40; ++i) {
    net::Endpoint client = family_.client;
    client.port = net::Be16(static_cast<uint16_t>(i));
    datagrams.push_back(DatagramFrom(client, 900));
    const uint32_t identification = i * 0x10001;
    for (Bytes& fragment : Fragments(datagrams.back(), {104, 408}, identification))
      fragments.push_back(std::move(fragment));
    if (is_v4()) {
      Set16(datagrams.back(), 18, static_cast<uint16_t>(identification));
      FixIpv4Checksum(datagrams.back());
    }
  }
  std::shuffle(fragments.begin(), fragments.end(), std::mt19937(1));
  AddAll(fragments);
  std::vector<Bytes> taken = Take();
  std::sort(taken.begin(), taken.end());
  std::sort(datagrams.begin(), datagrams.end());
  EXPECT_EQ(taken, datagrams);
}

// What is known of a datagram, byte by byte.
struct Model {
  std::map<size_t, uint8_t> bytes;
  std::optional<size_t> total;
  bool is_spoilt = false;

  Verdict Add(size_t begin, const Bytes& content, bool is_last) {
    const size_t end = begin + content.size();
    if (is_spoilt) return Verdict::kFragmentInvalid;
    bool is_new = true, is_known = true;
    for (size_t i = 0; i < content.size(); ++i) {
      const auto at = bytes.find(begin + i);
      is_new &= at == bytes.end();
      is_known &= at != bytes.end() && at->second == content[i];
    }
    const bool reaches_behind_the_end = is_last && !bytes.empty() && bytes.rbegin()->first >= end;
    const bool differs_about_the_end = total && (is_last ? end != *total : end >= *total);
    if (reaches_behind_the_end || differs_about_the_end || (!is_new && !is_known) ||
        (is_known && is_last && !total)) {
      is_spoilt = true;
      return Verdict::kFragmentInvalid;
    }
    for (size_t i = 0; i < content.size(); ++i) bytes[begin + i] = content[i];
    if (is_last) total = end;
    return Verdict::kConsumed;
  }
  bool is_complete() const { return !is_spoilt && total && bytes.size() == *total; }
};

TEST_P(ReassemblerTest, RandomOverlappingFragmentsFareAsInTheModel) {
  uint32_t completed = 0, refused = 0, timed_out = 0;
  for (int round = 0; round < 4000; ++round) {
    const Bytes datagram = Datagram(1 + random_() % 40);
    const size_t total = FragmentableBytes(datagram);
    Model model;
    for (uint32_t left = 2 + random_() % 10; left > 0 && !model.is_complete(); --left) {
      const size_t begin = random_() % ((total + 7) / 8) * 8;
      size_t end = std::min(total, begin + 8 * (1 + random_() % 3));
      bool is_last = end == total;
      if (random_() % 16 == 0) is_last = !is_last;
      if (!is_last && end % 8 != 0) end = begin + (end - begin) / 8 * 8;
      if (begin == end || (begin == 0 && is_last)) continue;
      Bytes fragment = Fragment(datagram, begin, end, !is_last);
      if (random_() % 32 == 0) fragment.back() ^= 1;
      const Bytes content = Slice(fragment, fragment.size() - (end - begin), fragment.size());
      const Verdict expected = model.Add(begin, content, is_last);
      ASSERT_EQ(Add(fragment), expected) << "round " << round;
      refused += expected != Verdict::kConsumed;
    }
    ASSERT_EQ(reassembler().HasComplete(), model.is_complete()) << "round " << round;
    completed += model.is_complete();
    for (const Bytes& frame : Take()) {
      const size_t header = frame.size() - model.bytes.size();
      for (const auto& [at, byte] : model.bytes) ASSERT_EQ(frame[header + at], byte);
    }
    now_ns_ += Reassembler::kTimeoutNs;
    timed_out += reassembler().Expire(now_ns_, 10);
    ASSERT_EQ(reassembler().size(), 0u);
  }
  EXPECT_GT(completed, 100u);
  EXPECT_GT(refused, 100u);
  EXPECT_GT(timed_out, 100u);
}

// --- what spoils a datagram --------------------------------------------------------------------

TEST_P(ReassemblerTest, AnOverlapSpoilsTheDatagramAndWhatStillComesOfIt) {
  const Bytes datagram = Datagram(200);
  const size_t total = FragmentableBytes(datagram);
  EXPECT_EQ(Add(Fragment(datagram, 0, 80, true)), Verdict::kConsumed);
  EXPECT_EQ(Add(Fragment(datagram, 72, 120, true)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 80, 120, true)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 120, total, false)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 0, 80, true)), Verdict::kFragmentInvalid);
  EXPECT_FALSE(reassembler().HasComplete());
  now_ns_ += Reassembler::kTimeoutNs;
  EXPECT_EQ(reassembler().Expire(now_ns_, 10), 0u) << "nothing was waited for";
  AddAll(Fragments(datagram, {80, 120}));
  EXPECT_EQ(Take(), std::vector<Bytes>{datagram});
}

TEST_P(ReassemblerTest, TheSameBytesAgainAreIgnoredOthersSpoil) {
  const Bytes datagram = Datagram(200);
  Bytes altered = datagram;
  altered[altered.size() - 100] ^= 1;
  const size_t total = FragmentableBytes(datagram);
  AddAll({Fragment(datagram, 80, total, false), Fragment(datagram, 80, total, false)});
  EXPECT_EQ(Add(Fragment(altered, 80, total, false)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 0, 80, true)), Verdict::kFragmentInvalid);
}

TEST_P(ReassemblerTest, TwoOpinionsOnTheEndSpoil) {
  const Bytes datagram = Datagram(200);
  const size_t total = FragmentableBytes(datagram);
  const auto spoils = [&](const Bytes& first, const Bytes& second) {
    EXPECT_EQ(Add(first), Verdict::kConsumed);
    EXPECT_EQ(Add(second), Verdict::kFragmentInvalid);
    now_ns_ += Reassembler::kTimeoutNs;
    reassembler().Expire(now_ns_, 10);
  };
  spoils(Fragment(datagram, 160, total, false), Fragment(datagram, 80, 100, false));
  spoils(Fragment(datagram, 80, 100, false), Fragment(datagram, 104, 160, true));
  spoils(Fragment(datagram, 80, 104, false), Fragment(datagram, 80, 104, true));
  spoils(Fragment(datagram, 160, 200, true), Fragment(datagram, 80, 100, false));
}

TEST_P(ReassemblerTest, ImpossibleFragmentsAreDroppedAndBeginNothing) {
  const Bytes datagram = Datagram(60'000);
  EXPECT_EQ(Add(Fragment(datagram, 0, 13, true)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 0, 0, true)), Verdict::kFragmentInvalid);
  EXPECT_EQ(Add(Fragment(datagram, 80, 80, false)), Verdict::kFragmentInvalid);
  Bytes beyond = Fragment(datagram, 0, 800, false);
  if (is_v4()) {
    Set16(beyond, 20, 0x1fff);
    FixIpv4Checksum(beyond);
  } else {
    Set16(beyond, 56, 0xfff8);
  }
  EXPECT_EQ(Add(beyond), Verdict::kFragmentInvalid);
  EXPECT_EQ(reassembler().size(), 0u);
}

TEST_P(ReassemblerTest, TheLongestDatagramAndOneByteMore) {
  const size_t headers = Datagram(0).size();
  const Bytes longest = Datagram(Reassembler::kMaxFrameBytes - headers);
  ASSERT_EQ(longest.size(), Reassembler::kMaxFrameBytes);
  std::vector<size_t> cuts;
  for (size_t at = 1200; at < FragmentableBytes(longest); at += 1200) cuts.push_back(at);
  AddAll(Fragments(longest, cuts));
  EXPECT_EQ(Take(), std::vector<Bytes>{longest});

  const Bytes longer = Datagram(Reassembler::kMaxFrameBytes - headers + 1);
  for (const Bytes& fragment : Fragments(longer, cuts)) Add(fragment);
  EXPECT_FALSE(reassembler().HasComplete());
}

TEST_P(ReassemblerTest, ALongerHeaderOfTheFirstFragmentCounts) {
  const Bytes without = Datagram(Reassembler::kMaxFrameBytes - Datagram(0).size());
  IpFields longer{.options = Nops(4)};
  if (!is_v4()) longer.extensions = kHopByHopPadding;
  const Bytes with = Datagram(300, longer);
  EXPECT_EQ(Add(Fragment(with, 0, 80, true)), Verdict::kConsumed);
  EXPECT_EQ(Add(Fragment(without, 80, FragmentableBytes(without), false)),
            Verdict::kFragmentInvalid);
  EXPECT_FALSE(reassembler().HasComplete());
}

TEST_P(ReassemblerTest, TheFirstFragmentsHeadersAreTheDatagrams) {
  IpFields first{.ttl = 30, .dscp_and_ecn = 0x28};
  first.options = Nops(8);
  if (!is_v4()) first.extensions = kHopByHopPadding;
  const Bytes datagram = Datagram(300, first);
  const Bytes other = Datagram(300, {.ttl = 60});
  const size_t total = FragmentableBytes(datagram);
  AddAll({Fragment(other, 160, total, false), Fragment(datagram, 0, 160, true)});
  EXPECT_EQ(Take(), std::vector<Bytes>{datagram});
}

// RFC 8200 section 4.5: the first fragment's next header is the one that counts.
TEST_P(ReassemblerTest, Ipv4TellsDatagramsApartByProtocolAndIpv6DoesNot) {
  const Bytes udp = Datagram(100);
  Bytes other_protocol = Fragment(udp, 80, FragmentableBytes(udp), false);
  if (is_v4()) {
    other_protocol[23] = 6;
    FixIpv4Checksum(other_protocol);
  } else {
    other_protocol[54] = 6;
  }
  AddAll({Fragment(udp, 0, 80, true), other_protocol});
  if (is_v4()) {
    EXPECT_FALSE(reassembler().HasComplete());
    AddAll({Fragment(udp, 80, FragmentableBytes(udp), false)});
  }
  EXPECT_EQ(Take(), std::vector<Bytes>{udp});
}

// RFC 3168 section 5.3, over every pair of codepoints.
TEST_P(ReassemblerTest, CongestionIsNeverForgotten) {
  constexpr uint8_t kNotEct = 0, kCongestion = 3;
  for (uint8_t first = 0; first < 4; ++first)
    for (uint8_t second = 0; second < 4; ++second) {
      const Bytes datagram = Datagram(300, {.dscp_and_ecn = static_cast<uint8_t>(0x28 | first)});
      const Bytes other = Datagram(300, {.dscp_and_ecn = static_cast<uint8_t>(0x28 | second)});
      EXPECT_EQ(Add(Fragment(datagram, 0, 160, true)), Verdict::kConsumed);
      const Verdict verdict = Add(Fragment(other, 160, FragmentableBytes(other), false));
      const bool has_congestion = first == kCongestion || second == kCongestion;
      if (has_congestion && (first == kNotEct || second == kNotEct)) {
        EXPECT_EQ(verdict, Verdict::kFragmentInvalid);
        EXPECT_FALSE(reassembler().HasComplete());
        now_ns_ += Reassembler::kTimeoutNs;
        reassembler().Expire(now_ns_, 1);
        continue;
      }
      const std::vector<Bytes> taken = Take();
      ASSERT_EQ(taken.size(), 1u);
      const Seen seen = Dissect(taken[0]);
      EXPECT_EQ(seen.trouble, "");
      EXPECT_EQ(seen.dscp_and_ecn, 0x28 | (has_congestion ? kCongestion : first));
    }
}

// --- bounds ------------------------------------------------------------------------------------

TEST_P(ReassemblerTest, ADatagramIsGivenUpByTimeAndNotBefore) {
  const Bytes datagram = Datagram(300);
  AddAll({Fragment(datagram, 0, 160, true)});
  now_ns_ += Reassembler::kTimeoutNs - 1;
  EXPECT_EQ(reassembler().Expire(now_ns_, 10), 0u);
  AddAll({Fragment(datagram, 160, 240, true)});  // does not prolong it
  ++now_ns_;
  EXPECT_EQ(reassembler().Expire(now_ns_, 10), 1u);
  EXPECT_EQ(reassembler().size(), 0u);
  AddAll({Fragment(datagram, 240, FragmentableBytes(datagram), false)});
  EXPECT_FALSE(reassembler().HasComplete()) << "what came before is forgotten";
}

TEST_P(ReassemblerTest, ExpiryIsBounded) {
  for (uint32_t i = 0; i < 10; ++i) AddAll({Fragment(Datagram(300), 0, 160, true, i)});
  now_ns_ += Reassembler::kTimeoutNs;
  EXPECT_EQ(reassembler().Expire(now_ns_, 3), 3u);
  EXPECT_EQ(reassembler().size(), 7u);
  EXPECT_EQ(reassembler().Expire(now_ns_, 100), 7u);
}

TEST_P(ReassemblerTest, TheNewOneIsRefusedWhenAllSlotsAreInUse) {
  Make({.datagrams = 8, .datagrams_per_source = 8});
  const Bytes datagram = Datagram(300);
  const size_t total = FragmentableBytes(datagram);
  for (uint32_t i = 0; i < 8; ++i) AddAll({Fragment(datagram, 0, 160, true, i)});
  EXPECT_EQ(Add(Fragment(datagram, 0, 160, true, 8)), Verdict::kFragmentLimit);
  AddAll({Fragment(datagram, 160, total, false, 3)});
  EXPECT_EQ(Add(Fragment(datagram, 0, 160, true, 8)), Verdict::kFragmentLimit)
      << "a complete one keeps its slot until it was taken";
  EXPECT_EQ(Take().size(), 1u);
  EXPECT_EQ(Add(Fragment(datagram, 0, 160, true, 8)), Verdict::kConsumed);
}

TEST_P(ReassemblerTest, OneSourceDoesNotTakeAllSlots) {
  Make({.datagrams = 8, .datagrams_per_source = 2});
  const Bytes datagram = Datagram(300);
  const Bytes neighbours =
      DatagramFrom(is_v4() ? Host("198.51.100.8", 1) : Host("2001:db8:7::ffff:8", 1), 300);
  const Bytes strangers =
      DatagramFrom(is_v4() ? Host("198.51.99.7", 1) : Host("2001:db8:7:1::7", 1), 300);
  for (uint32_t i = 0; i < 2; ++i) AddAll({Fragment(datagram, 0, 160, true, i)});
  EXPECT_EQ(Add(Fragment(datagram, 0, 160, true, 2)), Verdict::kFragmentLimit);
  // An IPv6 source is its /64: whoever has one address there has them all.
  EXPECT_EQ(Add(Fragment(neighbours, 0, 160, true)),
            is_v4() ? Verdict::kConsumed : Verdict::kFragmentLimit);
  EXPECT_EQ(Add(Fragment(strangers, 0, 160, true)), Verdict::kConsumed);
  AddAll({Fragment(datagram, 160, FragmentableBytes(datagram), false, 0)});
  EXPECT_EQ(Add(Fragment(datagram, 0, 160, true, 2)), Verdict::kConsumed);
}

TEST_P(ReassemblerTest, AFloodOfFirstFragmentsIsBoundedAndPasses) {
  Make({.datagrams = 32, .datagrams_per_source = 4});
  uint32_t taken_in = 0, refused = 0;
  for (uint32_t i = 0; i < 20'000; ++i) {
    net::Endpoint source = Host(is_v4() ? "198.51.100.7" : "2001:db8:7::7", 1);
    if (is_v4()) {
      source.address = net::Ipv4Address{net::Be32(0x0b000000 + random_() % 1000)};
    } else {
      net::Ipv6Address address = source.address.v6();
      address.bytes[7] = static_cast<uint8_t>(random_());
      source.address = address;
    }
    const Verdict verdict = Add(Fragment(DatagramFrom(source, 100), 0, 80, true, random_()));
    taken_in += verdict == Verdict::kConsumed;
    refused += verdict == Verdict::kFragmentLimit;
    ASSERT_LE(reassembler().size(), 32u);
  }
  EXPECT_EQ(taken_in + refused, 20'000u);
  EXPECT_GT(refused, 19'000u);
  now_ns_ += Reassembler::kTimeoutNs;
  EXPECT_EQ(reassembler().Expire(now_ns_, 1000), 32u);
  const Bytes datagram = Datagram(300);
  AddAll(Fragments(datagram, {80}));
  EXPECT_EQ(Take(), std::vector<Bytes>{datagram});
}

TEST_P(ReassemblerTest, NoSlotsRefuseEverything) {
  Make({});
  EXPECT_EQ(Add(Fragment(Datagram(300), 0, 160, true)), Verdict::kFragmentLimit);
}

TEST_P(ReassemblerTest, TheLargestFragmentIsToldInBytesOfIpPacket) {
  const Bytes datagram = Datagram(3000);
  const std::vector<Bytes> fragments = Fragments(datagram, {800, 2000});
  AddAll(fragments);
  Burst burst;
  reassembler().TakeComplete(burst);
  ASSERT_EQ(burst.count, 1u);
  EXPECT_EQ(burst.largest_fragment[0], fragments[1].size() - 14);
}

}  // namespace
}  // namespace steelyard::core
