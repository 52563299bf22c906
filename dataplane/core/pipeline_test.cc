// SPDX-License-Identifier: Apache-2.0
//
// The life of sessions under a clock that only the test moves: table, timers, states and timeouts
// together, against a model that knows of neither. What becomes of packets is in test/packet.
#include "core/pipeline.h"

#include <gtest/gtest.h>

#include <optional>
#include <unordered_map>
#include <vector>

#include "packet/box.h"
#include "packet/random.h"

namespace steelyard::core {
namespace {

using net::L4Protocol;
using net::Verdict;
using test::Box;

// A session is gone this long after its deadline, if Expire was given its budget often enough.
constexpr uint64_t kGranularityMs = 2 * TimerWheel::kSlotMs;

// What the model holds of a flow: the same words, none of the code.
struct ModelFlow {
  bool is_tcp = false;
  net::Endpoint client, vip;
  bool alive = false;
  net::Endpoint local, backend;
  uint64_t last_packet_ms = 0;
  enum {
    kOpening,
    kAnswered,
    kEstablished,
    kHalfClosed,
    kLastAck,
    kTimeWait,
    kReset
  } stage = kOpening;
  uint32_t backends_numbers = 0;  // of the client's stream, minus the client's
  // What acknowledges each side's FIN, once it was seen.
  std::optional<uint32_t> client_fin, backend_fin;
  bool last_is_clients = false, at_once = false;

  uint64_t DeadlineMs() const {
    if (!is_tcp) return last_packet_ms + 30'000;
    switch (stage) {
      case kOpening:
        return last_packet_ms + 5'000;
      case kAnswered:
        return last_packet_ms + 10'000;
      case kEstablished:
        return last_packet_ms + 350'000;
      case kHalfClosed:
      case kLastAck:
        return last_packet_ms + 60'000;
      case kTimeWait:
        return last_packet_ms + 5'000;
      case kReset:
        return last_packet_ms + 1'000;
    }
    return 0;
  }
  static bool Covers(uint32_t acknowledgment, std::optional<uint32_t> fin) {
    return fin && static_cast<int32_t>(acknowledgment - *fin) >= 0;
  }
  // Numbers as the client knows them.
  void Saw(bool from_client, uint8_t flags, uint32_t sequence, uint32_t acknowledgment) {
    if (!is_tcp) return;
    if (flags & net::kTcpRst) {
      stage = kReset;
    } else if (stage == kReset) {
      return;
    } else if (stage == kOpening) {
      if (!from_client && (flags & net::kTcpSyn) && (flags & net::kTcpAck)) stage = kAnswered;
    } else if (!(flags & net::kTcpSyn)) {
      if (from_client && stage == kAnswered) stage = kEstablished;
      if (flags & net::kTcpFin) {
        SawFin(from_client, sequence + 1, acknowledgment);
        return;
      }
      if (stage == kLastAck) SawAcknowledgment(from_client, acknowledgment);
    }
  }
  void SawFin(bool from_client, uint32_t end, uint32_t acknowledgment) {
    auto& own = from_client ? client_fin : backend_fin;
    const auto& other = from_client ? backend_fin : client_fin;
    if (own) {
      if (stage == kLastAck) SawAcknowledgment(from_client, acknowledgment);
      return;
    }
    own = end;
    stage = other ? kLastAck : kHalfClosed;
    last_is_clients = from_client;
    at_once = other && !Covers(acknowledgment, other);
  }
  void SawAcknowledgment(bool from_client, uint32_t acknowledgment) {
    if (at_once || from_client == last_is_clients) return;
    if (Covers(acknowledgment, from_client ? backend_fin : client_fin)) stage = kTimeWait;
  }
};

class LifeTest {
 public:
  LifeTest(uint32_t seed, uint64_t start_ms, const SessionCapacity& capacity)
      : random_(seed), box_({.capacity = capacity, .now_ns = start_ms * 1'000'000}) {
    box_.AddUsualServices(3);
    for (uint16_t i = 0; i < 200; ++i)
      for (const bool is_tcp : {false, true})
        for (const bool v4 : {false, true}) {
          ModelFlow flow;
          flow.is_tcp = is_tcp;
          flow.client = v4 ? test::kClient4 : test::kClient6;
          flow.client.port = net::Be16(static_cast<uint16_t>(2000 + i));
          flow.vip = v4 ? test::kVip4 : test::kVip6;
          flows_.push_back(flow);
        }
  }

  void Run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (uint32_t packets = random_() % 8; packets > 0; --packets) Send();
      // Time passes as on a busy box, and now and then stands still or jumps.
      const uint32_t kind = random_() % 1000;
      box_.Pass(kind < 900 ? random_() % 100 : kind < 998 ? random_() % 3000 : 400'000);
      Expire(kind);
      Compare();
      if (testing::Test::HasFailure()) FAIL() << "round " << round;
    }
  }

  uint64_t expired() const { return expired_; }
  uint64_t refused() const { return refused_; }
  uint64_t reopened() const { return reopened_; }
  uint64_t waited() const { return waited_; }

 private:
  uint64_t NowMs() const { return box_.now_ns / 1'000'000; }
  net::FlowKey KeyOf(const ModelFlow& flow) const {
    return {flow.client, flow.vip, flow.is_tcp ? L4Protocol::kTcp : L4Protocol::kUdp};
  }

  // Sometimes a little at a time, as the poll loop does; in the end enough to be on time.
  void Expire(uint32_t kind) {
    for (uint32_t i = 0; i < kind % 3; ++i) box_.Expire(random_() % 4);
    for (int i = 0; i < 60; ++i) box_.Expire(64);
  }

  uint8_t SomeFlags(bool from_client) {
    switch (random_() % 8) {
      case 0:
        return net::kTcpSyn;
      case 1:
        return net::kTcpSyn | net::kTcpAck;
      case 2:
        return random_() % 2 ? net::kTcpFin | net::kTcpAck : uint8_t{net::kTcpAck};
      case 3:
        return random_() % 4 == 0 ? uint8_t{net::kTcpRst} : uint8_t{net::kTcpAck};
      default:
        return from_client && random_() % 3 == 0 ? uint8_t{net::kTcpSyn} : uint8_t{net::kTcpAck};
    }
  }

  void Send() {
    // A few flows have most of the traffic.
    ModelFlow& flow = flows_[random_() % 4 ? random_() % 60 : random_() % flows_.size()];
    const bool from_client = !flow.alive || random_() % 2;
    const uint8_t flags = SomeFlags(from_client);
    const net::Endpoint& source = from_client ? flow.client : flow.backend;
    const net::Endpoint& destination = from_client ? flow.vip : flow.local;
    // Around the end of the 32 bits, and as often too early as not.
    const uint32_t sequence = random_() % 4 - 2, acknowledgment = random_() % 6 - 2;
    const uint32_t shift = from_client ? 0 : flow.backends_numbers;
    const Box::Outcome out =
        flow.is_tcp ? box_.Receive(from_client ? test::kClientPort : test::kBackendPort,
                                   test::TcpFrame({.source = source,
                                                   .destination = destination,
                                                   .sequence = sequence,
                                                   .acknowledgment = acknowledgment + shift,
                                                   .flags = flags}))
                    : box_.Receive(from_client ? test::kClientPort : test::kBackendPort,
                                   test::UdpFrame({.source = source, .destination = destination}));
    Note(flow, from_client, flags, sequence, acknowledgment, out);
  }

  void Note(ModelFlow& flow, bool from_client, uint8_t flags, uint32_t sequence,
            uint32_t acknowledgment, const Box::Outcome& out) {
    const bool is_syn = flags == net::kTcpSyn;
    const bool over = flow.stage == ModelFlow::kLastAck || flow.stage == ModelFlow::kTimeWait ||
                      flow.stage == ModelFlow::kReset;
    const bool reopens = flow.alive && flow.is_tcp && from_client && is_syn && over;
    if (flow.alive && !reopens) {
      ASSERT_EQ(out.verdict, Verdict::kForwarded);
      flow.last_packet_ms = NowMs();
      flow.Saw(from_client, flags, sequence, acknowledgment);
      waited_ += flow.stage == ModelFlow::kTimeWait;
      return;
    }
    reopened_ += reopens;
    if (flow.is_tcp && !is_syn) {
      ASSERT_EQ(out.verdict, Verdict::kNoSession);
      return;
    }
    if (out.verdict == Verdict::kSessionTableFull) {
      ++refused_;
      ASSERT_FALSE(reopens) << "its own room had just come free";
      return;
    }
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    flow.alive = true;
    flow.local = out.seen.source;
    flow.backend = out.seen.destination;
    flow.last_packet_ms = NowMs();
    flow.stage = ModelFlow::kOpening;
    flow.client_fin = flow.backend_fin = std::nullopt;
    flow.backends_numbers = out.seen.sequence - sequence;
  }

  // Alive before its deadline, dead one granularity after it, either in between.
  void Compare() {
    uint32_t alive = 0;
    for (ModelFlow& flow : flows_) {
      const bool there = box_.sessions().Find(KeyOf(flow)) != kNoFlow;
      if (!flow.alive) {
        ASSERT_FALSE(there);
        continue;
      }
      if (NowMs() < flow.DeadlineMs()) {
        ASSERT_TRUE(there) << "ended " << flow.DeadlineMs() - NowMs() << " ms early, stage "
                           << flow.stage;
      } else if (NowMs() >= flow.DeadlineMs() + kGranularityMs) {
        ASSERT_FALSE(there) << NowMs() - flow.DeadlineMs() << " ms late, stage " << flow.stage;
      }
      expired_ += !there;
      flow.alive = there;
      alive += there;
      if (there) {
        const net::FlowKey reply(flow.backend, flow.local, KeyOf(flow).protocol);
        ASSERT_NE(box_.sessions().Find(reply), kNoFlow);
      }
    }
    ASSERT_EQ(box_.sessions().size(), alive);
    ASSERT_EQ(box_.worker().counters.sessions_active(), alive);
    uint64_t of_backends = 0, of_services = 0;
    for (const Service& service : box_.services) {
      of_services += box_.worker().services[service.slot].sessions_active();
      for (const Backend& backend : service.backends)
        of_backends += box_.worker().backends[backend.slot].sessions_active();
    }
    ASSERT_EQ(of_backends, alive);
    ASSERT_EQ(of_services, alive);
  }

  test::Random random_;
  Box box_;
  std::vector<ModelFlow> flows_;
  uint64_t expired_ = 0;
  uint64_t refused_ = 0;
  uint64_t reopened_ = 0;
  uint64_t waited_ = 0;  // packets after the last FIN was acknowledged
};

TEST(Pipeline, SessionsLiveAsTheModelSays) {
  LifeTest life(1, 1'000'000, {1000, 1000});
  life.Run(15'000);
  EXPECT_GT(life.expired(), 1000u);
  EXPECT_GT(life.reopened(), 20u);
  EXPECT_GT(life.waited(), 5u);
  EXPECT_EQ(life.refused(), 0u);
}

TEST(Pipeline, SessionsLiveAsTheModelSaysInAFullTable) {
  LifeTest life(2, 5'000'000, {40, 40});
  life.Run(10'000);
  EXPECT_GT(life.expired(), 500u);
  EXPECT_GT(life.refused(), 500u);
}

// 32 bits of milliseconds wrap after seven weeks.
TEST(Pipeline, SessionsLiveOverTheWrapOfTheClock) {
  LifeTest life(3, (uint64_t{1} << 32) - 300'000, {1000, 1000});
  life.Run(10'000);
  EXPECT_GT(life.expired(), 500u);
}

// Two boxes with the same packets. In one every packet is looked at closely, because its worker
// also checks whose it is; in the other most go the short way.
class TwinTest {
 public:
  TwinTest(uint32_t seed, const ForwardingMode& mode)
      : is_one_way_(mode.is_one_way()), random_(seed) {
    for (Box& box : boxes_) {
      box.mode = &mode;
      box.ports[test::kBackendPort].mtu = 1400;
      box.AddUsualServices(3);
    }
    boxes_[1].snapshot.checks_ownership = true;
  }

  void Run(int packets) {
    for (int i = 0; i < packets && !testing::Test::HasFailure(); ++i) Send(i % 16 == 0);
    for (uint32_t slot = 0; slot < 12; ++slot) CompareTraffic(slot);
  }

  int forwarded() const { return forwarded_; }
  int dropped() const { return dropped_; }

 private:
  struct Flow {
    net::Endpoint client, vip;
    bool is_tcp = false;
    bool is_open = false;
    net::Endpoint peer, backend;  // as the backend sees it
  };

  Flow& SomeFlow() {
    if (flows_.size() < 8) {
      const bool v4 = flows_.size() % 2 == 0;
      Flow flow{v4 ? test::kClient4 : test::kClient6, v4 ? test::kVip4 : test::kVip6,
                flows_.size() % 4 < 2};
      flow.client.port = net::Be16(static_cast<uint16_t>(3000 + flows_.size()));
      flows_.push_back(flow);
      return flows_.back();
    }
    return flows_[random_() % flows_.size()];
  }

  // Mostly segments in the middle of a connection, with now and then something else about them.
  test::Bytes SomeFrame(const net::Endpoint& source, const net::Endpoint& destination, bool is_tcp,
                        uint8_t flags) {
    test::IpFields ip;
    if (random_() % 8 == 0) ip.ttl = static_cast<uint8_t>(1 + random_() % 2);
    if (random_() % 8 == 0) ip.flags_and_offset = 0;
    test::Bytes payload(random_() % 8 == 0 ? 1300 + random_() % 120 : random_() % 40);
    if (!is_tcp)
      return test::UdpFrame(
          {source, destination, payload, random_() % 4 == 0 && destination.address.is_v4()}, ip);
    test::Bytes options;
    const uint32_t kind = random_() % 8;
    if (kind < 4)
      options = test::Concat({test::Nops(2), test::TimestampsOption(random_(), random_())});
    if (kind == 4)
      options = test::Concat(
          {test::Nops(1), test::TimestampsOption(random_(), random_()), test::Nops(1)});
    if (kind == 5) options = test::SackOption({{random_(), random_()}});
    if (kind == 6) options = {0xfd, 4, 1, 2};
    return test::TcpFrame({.source = source,
                           .destination = destination,
                           .sequence = random_(),
                           .acknowledgment = random_(),
                           .flags = flags,
                           .options = options,
                           .payload = payload},
                          ip);
  }

  uint8_t SomeFlags(const Flow& flow, bool from_client) {
    if (!flow.is_open) return net::kTcpSyn;
    constexpr uint8_t kAck = net::kTcpAck;
    switch (random_() % 24) {
      case 0:
        return from_client ? net::kTcpSyn : net::kTcpSyn | kAck;
      case 1:
        return net::kTcpFin | kAck;
      default:
        return random_() % 2 ? kAck : kAck | net::kTcpPsh;
    }
  }

  void Send(bool time_passes) {
    Flow& flow = SomeFlow();
    const bool from_client = !flow.is_open || is_one_way_ || random_() % 2;
    const uint8_t flags = SomeFlags(flow, from_client);
    const test::Bytes frame = from_client ? SomeFrame(flow.client, flow.vip, flow.is_tcp, flags)
                                          : SomeFrame(flow.backend, flow.peer, flow.is_tcp, flags);
    std::optional<Box::Outcome> first;
    for (Box& box : boxes_) {
      if (time_passes) box.Pass(10);
      const Box::Outcome out =
          box.Receive(from_client ? test::kClientPort : test::kBackendPort, frame);
      if (!first) {
        first = out;
        continue;
      }
      ASSERT_EQ(out.verdict, first->verdict);
      ASSERT_EQ(out.frame, first->frame);
      ASSERT_EQ(out.out_port, first->out_port);
      ASSERT_EQ(out.leaves_in_fragments, first->leaves_in_fragments);
    }
    (first->verdict == Verdict::kForwarded ? forwarded_ : dropped_) += 1;
    if (first->verdict == Verdict::kForwarded && from_client) {
      flow.is_open = true;
      flow.peer = first->seen.source;
      flow.backend = first->seen.destination;
    }
    CompareSessions(flow);
  }

  void CompareSessions(const Flow& flow) {
    const net::FlowKey key(flow.client, flow.vip,
                           flow.is_tcp ? L4Protocol::kTcp : L4Protocol::kUdp);
    const FlowState* const state = boxes_[0].StateOf(key);
    const FlowState* const other = boxes_[1].StateOf(key);
    ASSERT_EQ(state == nullptr, other == nullptr);
    if (state == nullptr) return;
    EXPECT_EQ(std::memcmp(state, other, sizeof *state), 0);
  }

  void CompareTraffic(uint32_t slot) {
    const BackendCounters& counters = boxes_[0].worker().backends[slot];
    const BackendCounters& other = boxes_[1].worker().backends[slot];
    EXPECT_EQ(counters.to_backend().packets.value(), other.to_backend().packets.value());
    EXPECT_EQ(counters.to_backend().bytes.value(), other.to_backend().bytes.value());
    EXPECT_EQ(counters.to_client().packets.value(), other.to_client().packets.value());
    EXPECT_EQ(counters.to_client().bytes.value(), other.to_client().bytes.value());
  }

  const bool is_one_way_;
  test::Random random_;
  std::array<Box, 2> boxes_;
  std::vector<Flow> flows_;
  int forwarded_ = 0, dropped_ = 0;
};

TEST(Pipeline, TheShortWayLeadsWhereTheLongOneDoes) {
  uint32_t seed = 4;
  for (const ForwardingMode* mode : {&FullNat(), &Dnat(), &Direct(), &Tunnel()}) {
    SCOPED_TRACE(mode->name());
    TwinTest twins(seed++, *mode);
    twins.Run(4000);
    EXPECT_GT(twins.forwarded(), 1000);
    EXPECT_GT(twins.dropped(), 50);
  }
}

TEST(Pipeline, ExpireLooksAtNoMoreThanItsBudget) {
  Box box({.capacity = {1000, 4}});
  box.AddUsualServices();
  for (uint16_t port = 1; port <= 500; ++port)
    box.FromClient(test::Datagram{.source = {test::kClient4.address, net::Be16(port)},
                                  .destination = test::kVip4});
  box.Pass(31'000);
  for (uint32_t before = box.sessions().size(); before > 0; before = box.sessions().size()) {
    uint32_t calls = 0;
    do box.Expire(7);
    while (box.sessions().size() == before && ++calls < 100);
    ASSERT_LT(box.sessions().size(), before);
    ASSERT_GE(box.sessions().size() + 7, before);
  }
}

}  // namespace
}  // namespace steelyard::core
