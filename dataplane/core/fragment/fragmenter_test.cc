// SPDX-License-Identifier: Apache-2.0
#include "core/fragment/fragmenter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "net/parser.h"
#include "packet/packet_builder.h"
#include "packet/random.h"
#include "packet/strange_frames.h"

namespace steelyard::core {
namespace {

using namespace test;  // NOLINT: what every line here builds packets with

constexpr uint8_t kRecordRoute = 7, kRouterAlert = 148;

std::vector<Bytes> Cut(const Bytes& frame, uint16_t mtu, uint32_t identification) {
  const ExactBuffer buffer(frame);
  const Fragmenter fragmenter(buffer.packet(), mtu, identification);
  std::vector<Bytes> fragments;
  for (uint32_t i = 0; i < fragmenter.count(); ++i) {
    Bytes fragment(14u + mtu);
    fragment.resize(fragmenter.Write(i, fragment.data()));
    fragments.push_back(std::move(fragment));
  }
  return fragments;
}

Bytes Datagram(bool is_v4, size_t payload_bytes, IpFields fields = {}) {
  fields.flags_and_offset = 0;
  return UdpFrame({.source = is_v4 ? kClient4 : kClient6,
                   .destination = is_v4 ? kVip4 : kVip6,
                   .payload = Pattern(payload_bytes)},
                  fields);
}

class FragmenterTest : public testing::TestWithParam<bool> {
 protected:
  const bool is_v4_ = GetParam();
};
INSTANTIATE_TEST_SUITE_P(Family, FragmenterTest, testing::Bool(),
                         [](const auto& family) { return family.param ? "IPv4" : "IPv6"; });

TEST_P(FragmenterTest, TogetherTheyAreThePacketAndEachFits) {
  Random random(1);
  for (int round = 0; round < 500; ++round) {
    IpFields fields{.dscp_and_ecn = static_cast<uint8_t>(random())};
    if (round % 3 == 1 && !is_v4_) {
      fields.extensions = {17, 0, 1, 4, 0, 0, 0, 0};  // hop-by-hop: padding
      fields.first_extension = 0;
    }
    const Bytes frame = Datagram(is_v4_, random() % 20'000, fields);
    const auto mtu = static_cast<uint16_t>(68 + random() % 1500);
    const uint32_t identification = random();
    const std::vector<Bytes> fragments = Cut(frame, mtu, identification);
    ASSERT_FALSE(fragments.empty());
    if (frame.size() - 14 <= mtu) {
      ASSERT_EQ(fragments, std::vector<Bytes>{frame});
      continue;
    }
    for (const Bytes& fragment : fragments) {
      ASSERT_LE(fragment.size() - 14, mtu);
      // No fragment could take eight bytes more.
      if (&fragment != &fragments.back()) {
        ASSERT_GT(fragment.size() - 14 + 8, mtu);
      }
      const ExactBuffer buffer(fragment);
      ASSERT_EQ(net::ParsePacket(buffer.packet(), kPortMac[0]).packet_class,
                net::PacketClass::kFragment);
    }
    Bytes expected = frame;
    if (is_v4_) {
      Set16(expected, 18, static_cast<uint16_t>(identification));
      FixIpv4Checksum(expected);
    } else {
      const size_t fragment_header = fields.extensions.empty() ? 54 : 62;
      for (const Bytes& fragment : fragments)
        ASSERT_EQ(Get32(fragment, fragment_header + 4), identification);
    }
    std::vector<Bytes> shuffled = fragments;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(random()));
    ASSERT_EQ(Defragmented(shuffled), expected) << "round " << round << ", MTU " << mtu;
  }
}

TEST_P(FragmenterTest, AnMtuWithoutRoomForHeadersMakesNone) {
  const Bytes frame = Datagram(is_v4_, 1000);
  EXPECT_TRUE(Cut(frame, is_v4_ ? 27 : 55, 1).empty());
  EXPECT_TRUE(Cut(frame, 1, 1).empty());
  EXPECT_FALSE(Cut(frame, is_v4_ ? 28 : 56, 1).empty());
}

// RFC 791 section 3.1: the first bit of an option says whether later fragments have it too.
TEST(Fragmenter, Ipv4OptionsAreCopiedAsTheySay) {
  const Bytes record_route{kRecordRoute, 7, 4, 0, 0, 0, 0};
  const Bytes router_alert{kRouterAlert, 4, 0, 0};
  const Bytes frame =
      Datagram(true, 3000, {.options = Concat({record_route, Nops(2), router_alert})});
  const std::vector<Bytes> fragments = Cut(frame, 1000, 1);
  ASSERT_GT(fragments.size(), 2u);
  EXPECT_EQ(Slice(fragments[0], 34, 34 + 16), Slice(frame, 34, 34 + 16));
  for (size_t i = 1; i < fragments.size(); ++i) {
    EXPECT_EQ(fragments[i][14], 0x46) << "24 bytes of header";
    EXPECT_EQ(Slice(fragments[i], 34, 38), router_alert);
    EXPECT_EQ(OnesSum(Slice(fragments[i], 14, 38)), 0xffff);
  }
}

// RFC 8200 section 4.5: what stands behind a routing header, and destination options for the last
// receiver, are part of what is cut.
TEST(Fragmenter, Ipv6PartsThatRoutersReadAreRepeated) {
  const auto padding = [](uint8_t next) { return Bytes{next, 0, 1, 4, 0, 0, 0, 0}; };
  const Bytes routing_done{60, 0, 253, 0, 0, 0, 0, 0};  // next: destination options
  const Bytes frame =
      Datagram(false, 3000,
               {.extensions = Concat({padding(60), padding(43), routing_done, padding(17)}),
                .first_extension = 0});
  const std::vector<Bytes> fragments = Cut(frame, 1280, 0x01020304);
  ASSERT_GT(fragments.size(), 2u);
  for (const Bytes& fragment : fragments) {
    Bytes repeated = Slice(frame, 54, 78);
    repeated[16] = 44;
    EXPECT_EQ(Slice(fragment, 54, 78), repeated);
    EXPECT_EQ(fragment[78], 60) << "what follows the fragment header";
  }
  EXPECT_EQ(Slice(fragments[0], 86, 94), padding(17));
}

TEST(FragmentIdentification, RisesByOneBetweenTwoAddressesAndBeginsAnywhere) {
  std::set<uint32_t> beginnings;
  for (const bool is_v4 : {true, false})
    for (const uint64_t seed : {1, 2, 3}) {
      FragmentIdentification identification(seed);
      const ExactBuffer buffer(Datagram(is_v4, 10));
      const uint32_t first = identification.Next(buffer.packet());
      beginnings.insert(first);
      for (uint32_t i = 1; i < 100; ++i) ASSERT_EQ(identification.Next(buffer.packet()), first + i);
    }
  EXPECT_EQ(beginnings.size(), 6u);
}

}  // namespace
}  // namespace steelyard::core
