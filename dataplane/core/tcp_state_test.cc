// SPDX-License-Identifier: Apache-2.0
#include "core/tcp_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace steelyard::core {
namespace {

using enum TcpState;
using net::kTcpAck;
using net::kTcpFin;
using net::kTcpPsh;
using net::kTcpRst;
using net::kTcpSyn;

constexpr Direction kToBackend = Direction::kForward;
constexpr Direction kToClient = Direction::kReverse;
constexpr uint8_t kFinAck = kTcpFin | kTcpAck;
constexpr uint8_t kSynAck = kTcpSyn | kTcpAck;

struct Step {
  Direction direction;
  uint8_t flags;
  TcpState then;
};

void Walk(const std::vector<Step>& conversation) {
  TcpState state = kSynSent;
  for (size_t i = 0; i < conversation.size(); ++i) {
    const auto& [direction, flags, then] = conversation[i];
    state = NextState(state, direction, flags);
    EXPECT_EQ(state, then) << "step " << i << ": " << ToString(state);
  }
}

const std::vector<Step> kHandshake = {{kToBackend, kTcpSyn, kSynSent},
                                      {kToClient, kSynAck, kSynReceived},
                                      {kToBackend, kTcpAck, kEstablished}};

std::vector<Step> AfterHandshake(const std::vector<Step>& rest) {
  std::vector<Step> all = kHandshake;
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

template <typename Visit>
void ForAll(Visit&& visit) {
  for (size_t state = 0; state < kTcpStateCount; ++state)
    for (const Direction direction : {kToBackend, kToClient})
      for (const uint8_t flags :
           {uint8_t{kTcpAck}, uint8_t{kTcpSyn}, kSynAck, kFinAck, uint8_t{kTcpRst},
            uint8_t{kTcpRst | kTcpAck}, uint8_t{kTcpPsh | kTcpAck}})
        visit(static_cast<TcpState>(state), direction, flags);
}

TEST(TcpState, ClientCloses) {
  Walk(AfterHandshake({{kToBackend, kTcpPsh | kTcpAck, kEstablished},
                       {kToClient, kTcpAck, kEstablished},
                       {kToBackend, kFinAck, kClientFin},
                       {kToClient, kTcpAck, kClientFin},
                       {kToClient, kTcpPsh | kTcpAck, kClientFin},
                       {kToClient, kFinAck, kLastAck},
                       {kToBackend, kTcpAck, kTimeWait}}));
}

TEST(TcpState, BackendCloses) {
  Walk(AfterHandshake({{kToClient, kFinAck, kBackendFin},
                       {kToBackend, kTcpAck, kBackendFin},
                       {kToBackend, kTcpPsh | kTcpAck, kBackendFin},
                       {kToBackend, kFinAck, kLastAck},
                       {kToClient, kTcpAck, kTimeWait}}));
}

TEST(TcpState, BothCloseAtOnceWhicheverIsSeenFirst) {
  Walk(AfterHandshake({{kToBackend, kFinAck, kClientFin}, {kToClient, kFinAck, kLastAck}}));
  Walk(AfterHandshake({{kToClient, kFinAck, kBackendFin}, {kToBackend, kFinAck, kLastAck}}));
}

TEST(TcpState, EverySegmentOfAHandshakeMayComeTwice) {
  Walk({{kToBackend, kTcpSyn, kSynSent},
        {kToBackend, kTcpSyn, kSynSent},
        {kToClient, kSynAck, kSynReceived},
        {kToBackend, kTcpSyn, kSynReceived},
        {kToClient, kSynAck, kSynReceived},
        {kToBackend, kTcpAck, kEstablished},
        {kToClient, kSynAck, kEstablished},
        {kToBackend, kTcpAck, kEstablished}});
}

TEST(TcpState, ClientClosesRightAfterTheHandshake) {
  Walk({{kToBackend, kTcpSyn, kSynSent},
        {kToClient, kSynAck, kSynReceived},
        {kToBackend, kFinAck, kClientFin}});
}

TEST(TcpState, BackendRefuses) {
  Walk({{kToBackend, kTcpSyn, kSynSent}, {kToClient, kTcpRst | kTcpAck, kClosed}});
}

// A client alone, whatever it sends, does not make a session live long.
TEST(TcpState, NothingIsEstablishedWithoutTheBackend) {
  for (int flags = 0; flags < 64; ++flags)
    EXPECT_TRUE(NextState(kSynSent, kToBackend, static_cast<uint8_t>(flags)) == kSynSent ||
                NextState(kSynSent, kToBackend, static_cast<uint8_t>(flags)) == kClosed);
}

TEST(TcpState, RstAlwaysCloses) {
  ForAll([](TcpState state, Direction direction, uint8_t flags) {
    if (state != kNone && (flags & kTcpRst)) {
      EXPECT_EQ(NextState(state, direction, flags), kClosed) << ToString(state);
    }
  });
}

TEST(TcpState, NothingReturnsToSynSent) {
  ForAll([](TcpState state, Direction direction, uint8_t flags) {
    if (state != kSynSent) {
      EXPECT_NE(NextState(state, direction, flags), kSynSent) << ToString(state);
    }
  });
}

TEST(TcpState, WhatIsNotTcpHasNoStates) {
  ForAll([](TcpState state, Direction direction, uint8_t flags) {
    EXPECT_EQ(NextState(state, direction, flags) == kNone, state == kNone);
  });
}

TEST(TcpState, OnlyRstLeavesTimeWaitAndNothingLeavesClosed) {
  ForAll([](TcpState, Direction direction, uint8_t flags) {
    EXPECT_EQ(NextState(kTimeWait, direction, flags), flags & kTcpRst ? kClosed : kTimeWait);
    EXPECT_EQ(NextState(kClosed, direction, flags), kClosed);
  });
}

// A connection only grows older: its states form an order.
TEST(TcpState, StatesOnlyAdvance) {
  const auto age = [](TcpState state) { return state == kBackendFin ? kClientFin : state; };
  ForAll([&](TcpState state, Direction direction, uint8_t flags) {
    EXPECT_GE(age(NextState(state, direction, flags)), age(state)) << ToString(state);
  });
}

TEST(TcpState, OneSidesSecondFinDoesNotSpeakForTheOther) {
  EXPECT_EQ(NextState(kClientFin, kToBackend, kFinAck), kClientFin);
  EXPECT_EQ(NextState(kBackendFin, kToClient, kFinAck), kBackendFin);
}

TEST(TcpState, EventsByFlags) {
  EXPECT_EQ(EventOf(kTcpSyn), TcpEvent::kSyn);
  EXPECT_EQ(EventOf(kSynAck), TcpEvent::kSynAck);
  EXPECT_EQ(EventOf(kFinAck), TcpEvent::kFin);
  EXPECT_EQ(EventOf(kTcpRst | kTcpAck), TcpEvent::kRst);
  EXPECT_EQ(EventOf(kTcpPsh | kTcpAck), TcpEvent::kAck);
}

TEST(TcpState, NamesAreOneEach) {
  std::vector<std::string_view> names;
  for (size_t state = 0; state < kTcpStateCount; ++state)
    names.push_back(ToString(static_cast<TcpState>(state)));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace steelyard::core
