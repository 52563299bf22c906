// SPDX-License-Identifier: Apache-2.0
#include "core/session_table.h"

#include <gtest/gtest.h>

#include "net/checksum.h"
#include "packet/session_model.h"

namespace steelyard::core {
namespace {

using net::Be16;
using net::Be32;
using net::Endpoint;
using net::FlowKey;
using net::L4Protocol;

using test::RandomSessions;
using test::TableAndModel;

// Every IPv4 key has the same hash: one bucket and its other one hold all there can be.
HashSecret DegenerateSecret() {
  HashSecret secret;
  secret.words[3] = 0;
  return secret;
}

void RunAgainstTheModel(TableAndModel& both, RandomSessions& make, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const uint32_t removes = round / 500 % 3;  // filling, level, emptying
    if (make.random() % 4 >= 1 + removes) {
      const auto [forward, reverse] = make.Make(make.AnyKind());
      both.Insert(forward, reverse);
      both.ExpectFound(forward.key);
      both.ExpectFound(reverse.key);
    } else {
      both.RemoveOne(make.random);
    }
    const auto [forward, reverse] = make.Make(make.AnyKind());
    both.ExpectFound(forward.key);
    both.ExpectFound(reverse.key.Reversed());
    if (round % 250 == 0) both.ExpectEqual();
    if (testing::Test::HasFailure()) FAIL() << "round " << round;
  }
  both.ExpectEqual();
}

TEST(SessionTable, EqualsAMapUnderRandomOperations) {
  TableAndModel both({512, 512});
  RandomSessions make(1);
  RunAgainstTheModel(both, make, 60'000);
}

TEST(SessionTable, SeldomMayHoldWhatItDoesNot) {
  TableAndModel both({20'000, 1});
  RandomSessions make(7);
  while (both.size() < 15'000) {
    const auto [forward, reverse] = make.Make(RandomSessions::kNarrow);
    both.Insert(forward, reverse);
  }
  uint32_t wrong = 0;
  for (int i = 0; i < 100'000; ++i) {
    const FlowKey key = make.Make(RandomSessions::kNarrow).first.key;
    if (both.table().Find(key) != kNoFlow) continue;
    wrong += both.table().MayHold(KeyHash(key, both.table().secret()));
  }
  EXPECT_LT(wrong, 60u) << "about 15: eight signatures of 16 bits a bucket";
}

TEST(SessionTable, TinyTablesEqualAMap) {
  for (uint32_t narrow = 0; narrow < 12; ++narrow)
    for (uint32_t wide = 0; wide < 12; ++wide) {
      TableAndModel both({narrow, wide});
      RandomSessions make(narrow * 12 + wide, 4);
      RunAgainstTheModel(both, make, 1000);
    }
}

TEST(SessionTable, KeysOfOneHashEqualAMap) {
  TableAndModel both({64, 64}, DegenerateSecret());
  RandomSessions make(3, 4);
  RunAgainstTheModel(both, make, 20'000);
}

// Sixteen entries have that hash's bucket and the other one.
TEST(SessionTable, KeysOfOneHashFillTwoBucketsAndNoMore) {
  TableAndModel both({64, 0}, DegenerateSecret());
  RandomSessions make(4);
  for (int i = 0; i < 100; ++i) {
    const auto [forward, reverse] = make.Make(RandomSessions::kNarrow);
    both.Insert(forward, reverse);
    both.ExpectEqual();
  }
  EXPECT_EQ(both.size(), 8u);
  while (both.size() > 0) {
    both.RemoveOne(make.random);
    both.ExpectEqual();
  }
}

// The first key of a session that is refused for its second one is gone again.
TEST(SessionTable, ARefusalForTheSecondKeyLeavesNothingOfTheFirst) {
  // By this secret all keys with the ports 1 and 2 have one hash, and no others.
  HashSecret secret;
  secret.words[1] = PortsWord(Be16(1), Be16(2), L4Protocol::kTcp);
  TableAndModel both({64, 0}, secret);
  const auto key = [](uint32_t host, uint16_t source_port, uint16_t destination_port) {
    return FlowKey({net::Ipv4Address{Be32(host)}, Be16(source_port)},
                   {net::Ipv4Address{Be32(0x0a000001)}, Be16(destination_port)}, L4Protocol::kTcp);
  };
  for (uint32_t i = 0; i < 16; ++i) {
    const FlowKey crowded = key(100 + i, 1, 2), lone = key(200 + i, 3, 4);
    ASSERT_TRUE(both.Insert({crowded, lone.Reversed()}, {lone, crowded.Reversed()}));
  }
  const FlowKey lone = key(300, 5, 6), crowded = key(400, 1, 2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(both.Insert({lone, crowded.Reversed()}, {crowded, lone.Reversed()}));
    both.ExpectFound(lone);
    EXPECT_FALSE(both.Insert({crowded, lone.Reversed()}, {lone, crowded.Reversed()}));
    both.ExpectFound(crowded);
  }
  both.ExpectEqual();
}

class FullTable : public testing::TestWithParam<SessionCapacity> {};

TEST_P(FullTable, TakesWhatItSaysAndRefusesMoreWithoutHarm) {
  const SessionCapacity capacity = GetParam();
  TableAndModel both(capacity);
  RandomSessions make(5, 60'000);
  const auto fill = [&](RandomSessions::Kind kind, size_t most) {
    uint32_t refusals = 0;
    while (both.size() < most && refusals == 0) {
      const auto [forward, reverse] = make.Make(kind);
      if (!both.Insert(forward, reverse)) ++refusals;
    }
  };
  fill(RandomSessions::kNarrow, capacity.narrow);
  fill(RandomSessions::kWide, capacity.total());
  EXPECT_EQ(both.size(), capacity.total()) << "refused before it was full";
  both.ExpectEqual();
  for (int i = 0; i < 1000; ++i) {
    const auto [forward, reverse] = make.Make(make.AnyKind());
    const size_t before = both.size();
    both.Insert(forward, reverse);
    EXPECT_EQ(both.size(), before);
    both.ExpectFound(forward.key);
  }
  both.ExpectEqual();
  // Places that come free are used again, for ever.
  for (int i = 0; i < 5000; ++i) {
    both.RemoveOne(make.random);
    const size_t before = both.size();
    for (int attempt = 0; both.size() == before && attempt < 100; ++attempt) {
      const auto [forward, reverse] = make.Make(make.AnyKind());
      both.Insert(forward, reverse);
    }
    EXPECT_EQ(both.size(), capacity.total());
    if (HasFailure()) FAIL() << i;
  }
  both.ExpectEqual();
  while (both.size() > 0) both.RemoveOne(make.random);
  both.ExpectEqual();
}

INSTANTIATE_TEST_SUITE_P(Capacities, FullTable,
                         testing::Values(SessionCapacity{20'000, 0}, SessionCapacity{0, 20'000},
                                         SessionCapacity{10'000, 10'000},
                                         SessionCapacity{100'000, 1}, SessionCapacity{500, 77}));

// With one move of an entry to make room, by each of these secrets a key found none.
// Both flows, what is kept beside them, its timer, and its share of the buckets and of the wheel.
TEST(SessionTable, ASessionTakesThreeLinesOrFive) {
  constexpr uint32_t kMany = 1'000'000;
  EXPECT_LE(SessionTable::RequiredBytes({kMany, 0}) / kMany, 192u);
  EXPECT_LE(SessionTable::RequiredBytes({0, kMany}) / kMany, 320u);
}

TEST(SessionTable, AMillionSessionsFillATableOfAMillion) {
  constexpr SessionCapacity kCapacity{1'000'000, 0};
  std::vector<std::byte> memory(SessionTable::RequiredBytes(kCapacity) + 64);
  const size_t slack = -reinterpret_cast<uintptr_t>(memory.data()) % 64;
  for (const uint64_t secret : {7, 9, 35}) {
    std::fill(memory.begin(), memory.end(), std::byte{});
    SessionTable table(std::span<std::byte>(memory).subspan(slack), kCapacity,
                       {{secret * 0x9e3779b97f4a7c15, secret, 3, 0xd1b54a32d192ed03, 5}});
    const auto host = [](uint32_t bits, uint32_t port) -> net::Endpoint {
      return {net::Ipv4Address{Be32(bits)}, Be16(static_cast<uint16_t>(port))};
    };
    for (uint32_t i = 0; i < kCapacity.narrow; ++i) {
      const FlowKey front(host(0xc6120000 + i / 50'000, 1024 + i % 50'000), host(0x0a00010a, 80),
                          L4Protocol::kTcp);
      const FlowKey back(host(0x0a000264 + i / 50'000, 1024 + i % 50'000),
                         host(0x0a00030b + i % 64, 8080), L4Protocol::kTcp);
      ASSERT_NE(table.Insert({front, back}, {back.Reversed(), front.Reversed()}), kNoSession)
          << "secret " << secret << " after " << i;
    }
  }
}

TEST(SessionTable, FullPoolRefusesItsKindOnly) {
  TableAndModel both({4, 4});
  RandomSessions make(6);
  for (int i = 0; i < 50; ++i) {
    const auto [forward, reverse] = make.Make(RandomSessions::kNarrow);
    both.Insert(forward, reverse);
  }
  EXPECT_EQ(both.size(), 4u);
  for (int i = 0; i < 50; ++i) {
    const auto [forward, reverse] = make.Make(RandomSessions::kMixed6To4);
    both.Insert(forward, reverse);
  }
  EXPECT_EQ(both.size(), 8u);
  both.ExpectEqual();
}

TEST(SessionTable, AWalkMeetsEverySessionOnceWhateverItsBound) {
  TableAndModel both({100, 60});
  RandomSessions make(9);
  for (int round = 0; round < 300; ++round) {
    const auto [forward, reverse] = make.Make(make.AnyKind());
    both.Insert(forward, reverse);
    if (round % 3 == 2) both.RemoveOne(make.random);
    const uint32_t bound = 1 + make.random() % 20;
    size_t met = 0;
    uint32_t steps = 0;
    for (SessionId session = 0; session < both.table().capacity().total(); ++steps) {
      session = both.table().FirstInUse(session, bound);
      if (session == both.table().capacity().total()) break;
      if (!both.table().record(session).in_use()) continue;
      EXPECT_TRUE(both.sessions().contains(session));
      ++met;
      ++session;
    }
    EXPECT_EQ(met, both.size());
    EXPECT_LT(steps, 1000u);
  }
}

// An IPv4 key and the IPv6 key of its mapped form are two keys.
TEST(SessionTable, MappedAddressesAreNotIpv4) {
  TableAndModel both({4, 4});
  RandomSessions make(7);
  const auto [forward, reverse] = make.Make(RandomSessions::kMixed4To6);
  ASSERT_TRUE(both.Insert(forward, reverse));
  EXPECT_NE(both.table().Find(forward.key.v4()), kNoFlow);
  const FlowKey mapped({forward.key.source.address.v6(), forward.key.source.port},
                       {forward.key.destination.address.v6(), forward.key.destination.port},
                       forward.key.protocol);
  EXPECT_EQ(both.table().Find(mapped.v6()), kNoFlow);
}

TEST(SessionTable, FreshFlowsAreZeroButForWhatInsertKnows) {
  TableAndModel both({2, 2});
  RandomSessions make(8);
  for (int round = 0; round < 200; ++round) {
    const auto [forward, reverse] = make.Make(make.AnyKind());
    both.Insert(forward, reverse);
    for (const auto& [session, keys] : both.sessions())
      for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
        FlowState& state = both.table().state(RefOf(session, direction));
        if (keys[0] == forward.key) {
          EXPECT_EQ(state.packets + state.bytes + state.last_seen_ms + state.sequence_delta, 0u);
          EXPECT_EQ(state.tcp_state, TcpState::kNone);
          EXPECT_EQ(state.flags & kFlowClientAddressPending, 0);
        }
        const SessionTable::Flow flow = both.table().Describe(RefOf(session, direction));
        EXPECT_EQ(state.address_checksum_delta,
                  net::ChecksumDelta()
                      .Replace(flow.key.source.address, flow.rewrite.source.address)
                      .Replace(flow.key.destination.address, flow.rewrite.destination.address)
                      .folded());
        state.packets = state.last_seen_ms = state.sequence_delta = 99;
        state.flags |= kFlowClientAddressPending;
        state.tcp_state = TcpState::kClosed;
      }
    if (round % 2) both.RemoveOne(make.random);
  }
}

}  // namespace
}  // namespace steelyard::core
