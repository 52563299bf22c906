// SPDX-License-Identifier: Apache-2.0
//
// Whole TCP conversations through full NAT, as both ends see them.
#include "packet/connection.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using net::kTcpAck;
using net::kTcpFin;
using net::kTcpPsh;
using net::kTcpRst;
using net::kTcpSyn;
using net::Verdict;

class Tcp : public testing::TestWithParam<FamilyCase> {
 protected:
  Tcp() { box.AddUsualServices(1); }
  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, Tcp, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(Tcp, AddressesAndPortsBothWays) {
  Connection connection(box, family);
  const auto syn = connection.FromClient(kTcpSyn);
  ASSERT_EQ(syn.verdict, Verdict::kForwarded);
  EXPECT_EQ(syn.out_port, kBackendPort);
  EXPECT_EQ(syn.seen.source.address, family.local);
  EXPECT_GE(syn.seen.source.port.value(), 1024);
  EXPECT_EQ(syn.seen.destination, family.backend(0));
  EXPECT_EQ(syn.seen.destination_mac, MacOf(family.backend(0).address));

  const auto syn_ack = connection.FromBackend(kTcpSyn | kTcpAck);
  ASSERT_EQ(syn_ack.verdict, Verdict::kForwarded);
  EXPECT_EQ(syn_ack.out_port, kClientPort);
  EXPECT_EQ(syn_ack.seen.source, family.vip);
  EXPECT_EQ(syn_ack.seen.destination, family.client);
}

// What the backend is shown minus its offset is what the client sent, and the other way round,
// whatever the segments are.
TEST_P(Tcp, SequenceNumbersTimestampsAndSackAreContinuousForBothEnds) {
  Random random(1);
  Connection connection(box, family);
  uint32_t client_clock = random(), backend_clock = random();
  const Bytes first = TimestampsOption(client_clock, 0);
  const auto syn = connection.FromClient(kTcpSyn, Concat({MssOption(1460), first}));
  ASSERT_EQ(syn.verdict, Verdict::kForwarded);
  const uint32_t clock_delta = syn.seen.timestamp() - client_clock;
  connection.FromBackend(kTcpSyn | kTcpAck,
                         TimestampsOption(backend_clock, client_clock + clock_delta));
  for (int step = 0; step < 500; ++step) {
    box.Pass(random() % 50);
    client_clock += random() % 50;
    backend_clock += random() % 50;
    const bool from_client = random() % 2;
    const Bytes payload = Pattern(random() % 1200);
    const uint32_t lost = connection.client_next + random() % 5000;
    // Options at every offset, odd ones too.
    const Bytes timestamps = from_client
                                 ? TimestampsOption(client_clock, backend_clock)
                                 : TimestampsOption(backend_clock, client_clock + clock_delta);
    const uint32_t shift = from_client ? 0 : connection.delta;
    const Bytes sack =
        SackOption({{lost + shift, lost + shift + 100}, {lost + shift + 300, lost + shift + 301}});
    const Bytes options = Concat({Nops(random() % 4), timestamps, Nops(random() % 3), sack});
    if (from_client) {
      const Segment sent = connection.ToVip(kTcpAck, options, payload);
      const auto out = connection.FromClient(kTcpAck, options, payload);
      ASSERT_EQ(out.verdict, Verdict::kForwarded);
      EXPECT_EQ(out.seen.sequence - connection.delta, sent.sequence);
      EXPECT_EQ(out.seen.acknowledgment, sent.acknowledgment);
      EXPECT_EQ(out.seen.timestamp() - clock_delta, client_clock);
      EXPECT_EQ(out.seen.timestamp_echo(), backend_clock);
      EXPECT_EQ(out.seen.options.at(net::kTcpOptionSack), sack) << "of the backend's numbers";
    } else {
      const Segment sent = connection.ToLocal(kTcpAck, options, payload);
      const auto out = connection.FromBackend(kTcpAck, options, payload);
      ASSERT_EQ(out.verdict, Verdict::kForwarded);
      EXPECT_EQ(out.seen.sequence, sent.sequence);
      EXPECT_EQ(out.seen.acknowledgment, connection.client_next);
      EXPECT_EQ(out.seen.timestamp(), backend_clock);
      EXPECT_EQ(out.seen.timestamp_echo(), client_clock);
      EXPECT_EQ(out.seen.options.at(net::kTcpOptionSack),
                SackOption({{lost, lost + 100}, {lost + 300, lost + 301}}));
    }
    if (HasFailure()) FAIL() << "step " << step;
  }
}

TEST_P(Tcp, RstWithoutAckKeepsItsFields) {
  Connection connection(box, family);
  connection.Open();
  Segment rst = connection.ToLocal(kTcpRst);
  rst.acknowledgment = 0;
  const auto out = box.FromBackend(rst);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.acknowledgment, 0u);
}

TEST_P(Tcp, EveryFieldNotOursIsLeftAlone) {
  Connection connection(box, family);
  connection.Open();
  Segment segment = connection.ToVip(kTcpAck | net::kTcpUrg | 0xc0, Nops(4), Pattern(7));
  segment.window = 0xbeef;
  Bytes frame = TcpFrame(segment, {.ttl = 33, .dscp_and_ecn = 0x2b, .identification = 0x7777});
  const size_t l4 = 14u + family.ip_header_bytes;
  Set16(frame, l4 + 18, 0x0102);                              // urgent pointer
  frame[l4 + 12] = static_cast<uint8_t>(frame[l4 + 12] | 1);  // a reserved bit
  FixChecksums(frame);
  const auto out = box.Receive(kClientPort, frame);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(Slice(out.seen.l4, 12, 16), Slice(frame, l4 + 12, l4 + 16));
  EXPECT_EQ(Get16(out.seen.l4, 18), 0x0102);
  EXPECT_EQ(Slice(out.frame, 14, 20), Slice(frame, 14, 20));
}

TEST_P(Tcp, CorruptionOnTheWayInStaysVisible) {
  Connection connection(box, family);
  connection.Open();
  Bytes frame = TcpFrame(connection.ToVip(kTcpAck, {}, Pattern(50)));
  frame.back() = static_cast<uint8_t>(~frame.back());
  const auto out = box.Receive(kClientPort, frame);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "layer 4 checksum");
}

TEST_P(Tcp, MssIsClampedOnSynAndSynAck) {
  box.ports[kBackendPort].mtu = 1400;
  box.Compile();
  const uint16_t headers = static_cast<uint16_t>(family.ip_header_bytes + 20);
  for (const size_t offset : {0, 1, 2, 3}) {
    Connection connection(box, family, static_cast<uint16_t>(41000 + offset));
    const Bytes large = Concat({Nops(offset), MssOption(1460)});
    const auto syn = connection.FromClient(kTcpSyn, large);
    EXPECT_EQ(syn.seen.mss(), 1400 - headers);
    const auto syn_ack = connection.FromBackend(kTcpSyn | kTcpAck, large);
    EXPECT_EQ(syn_ack.seen.mss(), 1400 - headers);
  }
  Connection small(box, family, 42000);
  EXPECT_EQ(small.FromClient(kTcpSyn, MssOption(536)).seen.mss(), 536);
  EXPECT_EQ(small.FromBackend(kTcpSyn | kTcpAck, MssOption(500)).seen.mss(), 500);
}

TEST_P(Tcp, TtlRunsOut) {
  Connection connection(box, family);
  connection.Open();
  const Bytes last = TcpFrame(connection.ToVip(kTcpAck), {.ttl = 2});
  EXPECT_EQ(box.Receive(kClientPort, last).seen.ttl, 1);
  for (const uint8_t ttl : {uint8_t{0}, uint8_t{1}})
    EXPECT_EQ(box.Receive(kClientPort, TcpFrame(connection.ToVip(kTcpAck), {.ttl = ttl})).verdict,
              Verdict::kTtlExceeded);
}

TEST_P(Tcp, PaddingDoesNotTravelOn) {
  Connection connection(box, family);
  connection.Open();
  Bytes frame = TcpFrame(connection.ToVip(kTcpAck));
  const size_t whole = frame.size();
  frame.resize(whole + 17, 0xee);
  const auto out = box.Receive(kClientPort, frame);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.frame.size(), whole);
}

TEST_P(Tcp, HeadersInFrontOfTcpTravelOn) {
  const bool v4 = family.client.address.is_v4();
  const Segment syn = Connection(box, family).ToVip(kTcpSyn, MssOption(9999));
  const IpFields fields =
      v4 ? IpFields{.options = {7, 7, 4, 0, 0, 0, 0, 0}}
         : IpFields{.extensions = {6, 0, 1, 4, 0, 0, 0, 0}, .first_extension = 60};
  const auto out = box.FromClient(syn, fields);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.trouble, "");
  EXPECT_EQ(out.seen.l3_bytes, family.ip_header_bytes + 8u + 24u);
}

TEST_P(Tcp, LargerThanTheWayOut) {
  Connection connection(box, family);
  connection.Open();
  box.ports[kBackendPort].mtu = 1400;
  box.Compile();
  const size_t most = 1400u - family.ip_header_bytes - 20u;
  EXPECT_EQ(connection.FromClient(kTcpAck, {}, Pattern(most)).verdict, Verdict::kForwarded);
  EXPECT_EQ(connection.FromClient(kTcpAck, {}, Pattern(most + 1)).verdict, Verdict::kPacketTooBig);
}

TEST_P(Tcp, SegmentsWithoutSession) {
  const Connection connection(box, family);
  for (const int flags : {+kTcpAck, kTcpFin | kTcpAck, kTcpSyn | kTcpAck, +kTcpRst})
    EXPECT_EQ(box.FromClient(connection.ToVip(static_cast<uint8_t>(flags))).verdict,
              Verdict::kNoSession)
        << flags;
  Segment elsewhere = connection.ToVip(kTcpSyn);
  elsewhere.destination.port = net::Be16(81);
  EXPECT_EQ(box.FromClient(elsewhere).verdict, Verdict::kPunted);
  EXPECT_EQ(box.sessions().size(), 0u);
}

// Neither a backend nor a client can send through a session's other half.
TEST_P(Tcp, RepliesFromStrangersAreNotTranslated) {
  Connection connection(box, family);
  connection.Open();
  Segment stranger = connection.ToLocal(kTcpAck);
  stranger.source.port = net::Be16(8081);
  EXPECT_EQ(box.FromBackend(stranger).verdict, Verdict::kPunted);
  stranger = connection.ToLocal(kTcpAck);
  stranger.source.address = family.backend(1).address;
  EXPECT_EQ(box.FromBackend(stranger).verdict, Verdict::kPunted);
}

TEST_P(Tcp, NoBackend) {
  box.service(family.vip, net::L4Protocol::kTcp).backends[0].available = false;
  box.Compile();
  EXPECT_EQ(box.FromClient(Connection(box, family).ToVip(kTcpSyn)).verdict, Verdict::kNoBackend);
}

TEST_P(Tcp, FullTableRefusesNewFlowsOnly) {
  Box small({.capacity = {2, 2}});
  small.AddUsualServices();
  Connection first(small, family, 1), second(small, family, 2), third(small, family, 3);
  first.Open();
  second.Open();
  EXPECT_EQ(small.FromClient(third.ToVip(kTcpSyn)).verdict, Verdict::kSessionTableFull);
  EXPECT_EQ(first.FromClient(kTcpAck, {}, Pattern(9)).verdict, Verdict::kForwarded);
  EXPECT_EQ(second.FromBackend(kTcpAck, {}, Pattern(9)).verdict, Verdict::kForwarded);
  EXPECT_EQ(small.sessions().size(), 2u);
}

TEST_P(Tcp, TwoPacketsOfANewFlowInOneBurstMakeOneSession) {
  const Bytes syn = TcpFrame(Connection(box, family).ToVip(kTcpSyn));
  const auto out = box.ReceiveBurst(kClientPort, {syn, syn, syn});
  EXPECT_EQ(box.sessions().size(), 1u);
  for (const auto& each : out) {
    ASSERT_EQ(each.verdict, Verdict::kForwarded);
    EXPECT_EQ(each.seen.source, out[0].seen.source);
    EXPECT_EQ(each.seen.sequence, out[0].seen.sequence);
  }
}

TEST_P(Tcp, ARetransmittedSynIsTheSameToTheBackend) {
  Connection connection(box, family);
  const Segment syn = connection.ToVip(kTcpSyn, TimestampsOption(700, 0));
  const auto first = box.FromClient(syn);
  box.Pass(1000);
  const auto again = box.FromClient(syn);
  EXPECT_EQ(again.seen.l4, first.seen.l4);
  EXPECT_EQ(box.sessions().size(), 1u);
}

// A burst in which the first packet ends the session of the ones behind it.
TEST_P(Tcp, ABurstMayEndAndReopenASession) {
  Connection connection(box, family);
  connection.Open();
  connection.Close();
  const Bytes ack = TcpFrame(connection.ToVip(kTcpAck));
  connection.client_next += 100'000;
  const Bytes syn = TcpFrame(connection.ToVip(kTcpSyn));
  const auto out = box.ReceiveBurst(kClientPort, {ack, syn, syn});
  EXPECT_EQ(box.sessions().size(), 1u);
  EXPECT_EQ(out[0].seen.source, connection.local);
  EXPECT_EQ(out[1].verdict, Verdict::kForwarded);
  EXPECT_EQ(out[2].seen.l4, out[1].seen.l4);
}

// --- reopening ---------------------------------------------------------------------------------

bool After(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) > 0;
}

// With one free local port every connection meets the backend's TIME-WAIT of the one before.
class Reopen : public Tcp {
 protected:
  // All ports of the local address but `left` are taken by other sessions.
  void TakePorts(Box& with, uint16_t left) {
    const net::L4Protocol tcp = net::L4Protocol::kTcp;
    uint32_t client = 0;
    for (uint32_t port = 1024; port < 65536; ++port) {
      if (port == left) continue;
      const net::FlowKey back({family.local, net::Be16(static_cast<uint16_t>(port))},
                              family.backend(0), tcp);
      net::Endpoint somebody = family.client;
      somebody.port = net::Be16(static_cast<uint16_t>(client++));
      net::FlowKey front(somebody, {family.router, net::Be16(1)}, tcp);
      ASSERT_NE(with.sessions().Insert({front, back}, {back.Reversed(), front.Reversed()}),
                core::kNoSession);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Family, Reopen, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(Reopen, AfterTimeWaitAndAfterRst) {
  for (const bool by_rst : {false, true}) {
    Connection connection(box, family, by_rst ? 50001 : 50000);
    connection.Open();
    if (by_rst)
      connection.FromBackend(kTcpRst | kTcpAck);
    else
      connection.Close();
    const size_t before = box.sessions().size();
    const uint64_t created = box.worker().counters.sessions_created.value();
    connection.client_next = 77;
    const auto syn = connection.FromClient(kTcpSyn);
    EXPECT_EQ(syn.verdict, Verdict::kForwarded);
    EXPECT_EQ(box.sessions().size(), before);
    EXPECT_EQ(box.worker().counters.sessions_created.value(), created + 1);
    EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kSynSent);
  }
}

TEST_P(Reopen, NotWhileTheConnectionLives) {
  Connection connection(box, family);
  connection.Open();
  const uint64_t created = box.worker().counters.sessions_created.value();
  EXPECT_EQ(box.FromClient(connection.ToVip(kTcpSyn)).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.worker().counters.sessions_created.value(), created);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kEstablished);
}

// A client that asks a dead backend again meets another one; a connection is its endpoints' to end.
TEST_P(Reopen, WhileABackendThatIsGoneHasNotAnswered) {
  Box pair;
  pair.AddUsualServices(2);
  Connection unanswered(pair, family, 1), connected(pair, family, 2);
  const auto syn = unanswered.FromClient(kTcpSyn);
  connected.Open();
  for (core::Backend& backend : pair.service(family.vip, net::L4Protocol::kTcp).backends)
    backend.keeps_sessions = backend.available = backend.endpoint != syn.seen.destination;
  pair.Compile();
  unanswered.client_next = 1000;
  EXPECT_NE(unanswered.FromClient(kTcpSyn).seen.destination, syn.seen.destination);
  for (core::Backend& backend : pair.service(family.vip, net::L4Protocol::kTcp).backends)
    backend.keeps_sessions = backend.available = false;
  pair.Compile();
  EXPECT_EQ(pair.FromClient(connected.ToVip(kTcpSyn)).verdict, Verdict::kForwarded);
  EXPECT_EQ(connected.state()->tcp_state, core::TcpState::kEstablished);
  EXPECT_EQ(pair.FromClient(unanswered.ToVip(kTcpSyn)).verdict, Verdict::kNoBackend);
  EXPECT_EQ(unanswered.state(), nullptr);
}

TEST_P(Reopen, AfterALastFinThatNobodyAcknowledged) {
  Connection connection(box, family);
  connection.Open();
  connection.FromClient(kTcpFin | kTcpAck);
  connection.FromBackend(kTcpFin | kTcpAck);
  const uint64_t created = box.worker().counters.sessions_created.value();
  EXPECT_EQ(connection.FromClient(kTcpSyn).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.worker().counters.sessions_created.value(), created + 1);
}

// RFC 6191: the new SYN is acceptable to a TIME-WAIT of the old one on the same tuple, by its
// timestamp and by its sequence number.
TEST_P(Reopen, TheBackendsTimeWaitAcceptsTheNextSyn) {
  Box crowded({.capacity = {70'000, 70'000}});
  crowded.AddUsualServices();
  TakePorts(crowded, 0xbabe);
  Random random(3);
  uint32_t last_sequence = 0, last_timestamp = 0;
  int opened = 0;
  for (int round = 0; round < 200; ++round) {
    Connection connection(crowded, family, static_cast<uint16_t>(30000 + round));
    connection.client_next = random();
    uint32_t client_clock = random();  // every client has its own
    auto syn = connection.FromClient(kTcpSyn, TimestampsOption(client_clock, 0));
    // The search for a free port is bounded: a client tries again.
    for (int attempt = 0; syn.verdict == Verdict::kLocalPortsExhausted && attempt < 2000;
         ++attempt) {
      crowded.Pass(core::ExhaustedRemotes::kRememberedMs);
      --connection.client_next;
      syn = connection.FromClient(kTcpSyn, TimestampsOption(client_clock, 0));
    }
    ASSERT_EQ(syn.verdict, Verdict::kForwarded);
    ASSERT_EQ(syn.seen.source.port.value(), 0xbabe);
    if (opened++ > 0) {
      EXPECT_TRUE(After(syn.seen.sequence, last_sequence));
      EXPECT_FALSE(After(last_timestamp, syn.seen.timestamp()));
    }
    connection.FromBackend(kTcpSyn | kTcpAck);
    for (int i = 0; i < 5; ++i) {
      crowded.Pass(20);
      client_clock += 20;
      connection.client_next += 200'000;  // regression: 10 MB/s overtook a clock of 4 µs
      const auto out = connection.FromClient(kTcpAck, TimestampsOption(client_clock, 0),
                                             Pattern(random() % 1000));
      last_sequence = out.seen.sequence + static_cast<uint32_t>(out.seen.payload.size());
      last_timestamp = out.seen.timestamp();
    }
    const auto fin = connection.FromClient(kTcpFin | kTcpAck, TimestampsOption(client_clock, 0));
    last_sequence = fin.seen.sequence + 1;
    connection.FromBackend(kTcpRst | kTcpAck);
    crowded.Pass(1300);
    for (int i = 0; i < 100; ++i) crowded.Expire();  // each goes through seconds of time at most
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST_P(Reopen, PortsRunOut) {
  Box crowded({.capacity = {70'000, 70'000}});
  crowded.AddUsualServices();
  TakePorts(crowded, 0);
  Connection connection(crowded, family, 2);
  EXPECT_EQ(connection.FromClient(kTcpSyn).verdict, Verdict::kLocalPortsExhausted);
  // Another local address has ports of its own.
  const net::IpAddress other =
      family.client.address.is_v4() ? Address("10.0.2.101") : Address("fd00:2::101");
  crowded.service(family.vip, net::L4Protocol::kTcp).local_addresses.Add(other);
  crowded.Compile();
  EXPECT_EQ(connection.FromClient(kTcpSyn).seen.source.address, other);
}

// --- configuration while sessions live ---------------------------------------------------------

// A host whose handshake took several attempts repeats a lost FIN after 3 s, then 6: once it met no
// session any more, was reset, and the client waited for ever.
TEST_P(Tcp, ALostLastFinMayComeAgainAfterLong) {
  Connection connection(box, family);
  connection.Open();
  connection.FromClient(kTcpFin | kTcpAck);
  const uint32_t before = connection.backend_next;
  const Segment answer = connection.ToLocal(kTcpFin | kTcpAck, {}, Pattern(9));
  connection.FromBackend(kTcpFin | kTcpAck, {}, Pattern(9));
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kLastAck);
  // What the client has got so far is not the FIN.
  connection.backend_next = before;
  connection.FromClient(kTcpAck);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kLastAck);
  box.Pass(30'000);
  box.Expire(1000);
  EXPECT_EQ(box.FromBackend(answer).verdict, Verdict::kForwarded);
  connection.backend_next = before + 10;
  connection.FromClient(kTcpAck);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kTimeWait);
}

// The backend knows the client's numbers by others, behind the client's address too.
TEST_P(Tcp, ALastFinOfTheClientsIsAcknowledgedInItsOwnNumbers) {
  Connection connection(box, family);
  connection.Open();
  connection.FromBackend(kTcpFin | kTcpAck);
  connection.FromClient(kTcpFin | kTcpAck, {}, Pattern(100));
  Segment answer = connection.ToLocal(kTcpAck);
  --answer.acknowledgment;
  box.FromBackend(answer);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kLastAck);
  connection.FromBackend(kTcpAck);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kTimeWait);
}

TEST_P(Tcp, WhenBothCloseAtOnceNeitherFinIsForgottenEarly) {
  Connection connection(box, family);
  connection.Open();
  const Segment backends = connection.ToLocal(kTcpFin | kTcpAck);
  connection.FromClient(kTcpFin | kTcpAck);
  box.FromBackend(backends);
  ++connection.backend_next;
  connection.FromClient(kTcpAck);
  box.Pass(30'000);
  box.Expire(1000);
  ASSERT_NE(connection.state(), nullptr);
  EXPECT_EQ(connection.state()->tcp_state, core::TcpState::kLastAck);
}

TEST_P(Tcp, SessionsOutliveTheirBackendAndTheirService) {
  Connection connection(box, family);
  connection.Open();
  core::Service& service = box.service(family.vip, net::L4Protocol::kTcp);
  service.backends.clear();
  box.Compile();
  EXPECT_EQ(connection.FromClient(kTcpAck, {}, Pattern(5)).seen.destination, family.backend(0));
  EXPECT_EQ(connection.FromBackend(kTcpAck, {}, Pattern(5)).seen.destination, family.client);
  EXPECT_EQ(Connection(box, family, 2).FromClient(kTcpSyn).verdict, Verdict::kNoBackend);
  box.services.clear();
  box.Compile();
  EXPECT_EQ(connection.FromClient(kTcpAck, {}, Pattern(5)).seen.destination, family.backend(0));
  EXPECT_EQ(connection.FromBackend(kTcpAck, {}, Pattern(5)).seen.destination, family.client);
  EXPECT_EQ(Connection(box, family, 2).FromClient(kTcpSyn).verdict, Verdict::kPunted);
  box.Pass(349'000);
  box.Expire();
  EXPECT_EQ(box.sessions().size(), 1u);
  for (int i = 0; i < 200; ++i) box.Pass(1000), box.Expire();
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(Tcp, NextHopsFollowTheNetwork) {
  Connection connection(box, family);
  connection.Open();
  const net::MacAddress moved{{6, 6, 6, 6, 6, 6}};
  box.routes.neighbours[{kBackendPort, family.backend(0).address}] = moved;
  box.Compile();
  EXPECT_EQ(connection.FromClient(kTcpAck).seen.destination_mac, moved);
  EXPECT_EQ(connection.FromBackend(kTcpAck).verdict, Verdict::kForwarded);
}

TEST_P(Tcp, MissingNeighboursAreReported) {
  box.routes.neighbours.erase({kBackendPort, family.backend(0).address});
  box.Compile();
  Connection connection(box, family);
  const Segment syn = connection.ToVip(kTcpSyn);
  EXPECT_EQ(box.FromClient(syn).verdict, Verdict::kNoNeighbour);
  EXPECT_EQ(box.MissingNeighbours(),
            (std::vector{core::Neighbour{kBackendPort, family.backend(0).address}}));
  box.routes.neighbours[{kBackendPort, family.backend(0).address}] = kSomeMac;
  box.Compile();
  EXPECT_EQ(box.FromClient(syn).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.sessions().size(), 1u);
}

TEST_P(Tcp, NoRoute) {
  box.routes.routes.clear();
  box.Compile();
  EXPECT_EQ(Connection(box, family).FromClient(kTcpSyn).verdict, Verdict::kNoRoute);
}

// --- counting ----------------------------------------------------------------------------------

TEST_P(Tcp, CountsPacketsAndBytesOfTheBackend) {
  Connection connection(box, family);
  connection.Open();
  connection.FromBackend(kTcpAck, {}, Pattern(100));
  const core::BackendCounters& counters =
      box.worker().backends[box.service(family.vip, net::L4Protocol::kTcp).backends[0].slot];
  EXPECT_EQ(counters.to_backend().packets.value(), 2u);
  EXPECT_EQ(counters.to_client().packets.value(), 2u);
  EXPECT_EQ(counters.sessions_active(), 1u);
  EXPECT_GT(counters.to_client().bytes.value(), 100u + 2 * 40u);
}

TEST_P(Tcp, LookSeesWhatAPacketWouldMeet) {
  Connection connection(box, family);
  const net::FlowKey key(connection.client, connection.vip, net::L4Protocol::kTcp);
  const auto before = box.pipeline().Look(box.snapshot, key, box.now_ns);
  ASSERT_NE(before.backend, nullptr);
  EXPECT_EQ(before.flow, core::kNoFlow);
  EXPECT_EQ(box.sessions().size(), 0u);
  EXPECT_EQ(connection.FromClient(kTcpSyn).seen.destination, before.backend->endpoint);
  EXPECT_NE(box.pipeline().Look(box.snapshot, key, box.now_ns).flow, core::kNoFlow);
}

TEST_P(Tcp, LookSeesAFullTable) {
  Box small({.capacity = {1, 1}});
  small.AddUsualServices();
  Connection first(small, family, 1), second(small, family, 2);
  first.Open();
  const net::FlowKey key(second.client, second.vip, net::L4Protocol::kTcp);
  const auto preview = small.pipeline().Look(small.snapshot, key, small.now_ns);
  EXPECT_EQ(preview.verdict, second.FromClient(kTcpSyn).verdict);
  EXPECT_EQ(preview.verdict, Verdict::kSessionTableFull);
  EXPECT_EQ(preview.backend, nullptr);
}

}  // namespace
}  // namespace steelyard::test
