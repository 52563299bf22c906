// SPDX-License-Identifier: Apache-2.0
//
// PROXY headers (version 2) before the client's bytes: where they stand in TCP's sequence space and
// in datagrams, and that neither end ever sees the seam.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "packet/connection.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using core::ClientAddressCarrier;
using net::kTcpAck;
using net::kTcpFin;
using net::kTcpRst;
using net::kTcpSyn;
using net::L4Protocol;
using net::Verdict;

constexpr uint8_t kTcp = 6, kUdp = 17;

class ProxyProtocol : public testing::TestWithParam<FamilyCase> {
 protected:
  ProxyProtocol() {
    box.AddUsualServices();
    for (const L4Protocol protocol : {L4Protocol::kTcp, L4Protocol::kUdp})
      box.service(family.vip, protocol).client_address.carrier = ClientAddressCarrier::kProxyV2;
    box.Compile();
  }
  bool v4() const { return family.client.address.is_v4(); }
  uint32_t header_bytes() const { return v4() ? 28 : 52; }
  Bytes Header(const net::Endpoint& client, uint8_t protocol = kTcp) const {
    return ProxyHeader(client, family.vip, protocol);
  }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, ProxyProtocol, testing::ValuesIn(kFamilyCases), FamilyName);

// --- TCP, one step after the other -------------------------------------------------------------

class ProxyStream : public ProxyProtocol {
 protected:
  // Up to the backend's SYN-ACK.
  void Begin() {
    isn = connection->client_next;
    ASSERT_EQ(connection->FromClient(kTcpSyn, MssOption(1460)).verdict, Verdict::kForwarded);
    ASSERT_EQ(connection->FromBackend(kTcpSyn | kTcpAck, MssOption(1460)).seen.acknowledgment,
              isn + 1);
  }
  void Open() {
    Begin();
    ASSERT_EQ(connection->FromClient(kTcpAck).verdict, Verdict::kForwarded);
  }
  // The client's segment, `offset` bytes into its stream.
  Box::Outcome Send(int offset, const Bytes& payload = {}, uint8_t flags = kTcpAck,
                    const Bytes& options = {}) {
    Segment segment = connection->ToVip(flags, options, payload);
    segment.sequence = isn + 1 + static_cast<uint32_t>(offset);
    return box.FromClient(segment);
  }
  // The backend's numbers count from what stands right behind its SYN: the header.
  uint32_t BackendNumber(int place) const {
    return isn + connection->delta + 1 + static_cast<uint32_t>(place);
  }
  Box::Outcome Acknowledge(int place, const Bytes& options = {}, const Bytes& payload = {}) {
    Segment segment = connection->ToLocal(kTcpAck, options, payload);
    segment.acknowledgment = BackendNumber(place);
    return box.FromBackend(segment);
  }
  int H() const { return static_cast<int>(header_bytes()); }

  void ExpectWithHeader(const Box::Outcome& out, const Bytes& payload = {}) {
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.payload, Concat({Header(connection->client), payload}));
    EXPECT_EQ(out.seen.sequence, BackendNumber(0));
  }
  void ExpectAt(const Box::Outcome& out, int place, const Bytes& payload = {}) {
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.payload, payload);
    EXPECT_EQ(out.seen.sequence, BackendNumber(place));
  }

  std::optional<Connection> connection{std::in_place, box, family};
  uint32_t isn = 0;
};
INSTANTIATE_TEST_SUITE_P(Family, ProxyStream, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(ProxyStream, HeaderGoesWithWhatBeginsTheStreamUntilItIsAcknowledgedWhole) {
  Begin();
  const Bytes data = Pattern(100);
  for (const int acknowledged : {0, 1, H() - 1}) {
    ExpectWithHeader(Send(0));
    ExpectWithHeader(Send(0, data), data);
    ExpectWithHeader(Send(0, Slice(data, 0, 7)), Slice(data, 0, 7));
    EXPECT_EQ(Acknowledge(acknowledged).seen.acknowledgment, isn + 1);
  }
  EXPECT_EQ(Acknowledge(H()).seen.acknowledgment, isn + 1);
  ExpectAt(Send(0), H());
  ExpectAt(Send(0, data), H(), data);
  ExpectAt(Send(100, data), H() + 100, data);
  EXPECT_EQ(Acknowledge(H() + 100).seen.acknowledgment, isn + 101);
}

TEST_P(ProxyStream, AcknowledgedTogetherWithData) {
  Open();
  ExpectWithHeader(Send(0, Pattern(10)), Pattern(10));
  EXPECT_EQ(Acknowledge(H() + 4).seen.acknowledgment, isn + 5);
  ExpectAt(Send(0, Pattern(10)), H(), Pattern(10));
}

TEST_P(ProxyStream, DataOutOfOrderIsOnlyShifted) {
  Begin();
  ExpectAt(Send(1000, Pattern(500)), H() + 1000, Pattern(500));
  ExpectAt(Send(1, Pattern(5)), H() + 1, Pattern(5));
  ExpectWithHeader(Send(0, Pattern(1000)), Pattern(1000));
  ExpectAt(Send(1500, {}, kTcpFin | kTcpAck), H() + 1500);
}

TEST_P(ProxyStream, FinRightAfterTheHandshake) {
  Begin();
  const auto out = Send(0, {}, kTcpFin | kTcpAck);
  ExpectWithHeader(out);
  EXPECT_EQ(out.seen.flags, kTcpFin | kTcpAck);
  EXPECT_EQ(Acknowledge(H() + 1).seen.acknowledgment, isn + 2);
}

TEST_P(ProxyStream, SynIsSentAgainWithoutIt) {
  Begin();
  connection->client_next = isn;
  const auto again = box.FromClient(connection->ToVip(kTcpSyn, MssOption(1460)));
  ExpectAt(again, -1);
  ExpectWithHeader(Send(0));
}

// RFC 7413: what it brings would stand before the header.
TEST_P(ProxyStream, FastOpenIsCutOff) {
  isn = connection->client_next;
  const Bytes options =
      Concat({MssOption(1460), Nops(1), {net::kTcpOptionFastOpen, 10, 1, 2, 3, 4, 5, 6, 7, 8}});
  for (const size_t bytes : {0, 1, 2, 33, 500}) {
    const auto syn =
        box.FromClient(connection->ToVip(kTcpSyn, options, Pattern(bytes)), {.ttl = 9});
    ASSERT_EQ(syn.verdict, Verdict::kForwarded);
    EXPECT_EQ(syn.seen.payload, Bytes{});
    EXPECT_FALSE(syn.seen.options.contains(net::kTcpOptionFastOpen));
    EXPECT_TRUE(syn.seen.options.contains(net::kTcpOptionMss));
  }
  connection->FromClient(kTcpSyn, options);
  connection->FromBackend(kTcpSyn | kTcpAck);
  ExpectWithHeader(Send(0, Pattern(10)), Pattern(10));
}

TEST_P(ProxyStream, FastOpenIsLeftAloneWithoutHeaders) {
  box.service(family.vip, L4Protocol::kTcp).client_address.carrier = ClientAddressCarrier::kNone;
  box.Compile();
  const Bytes cookie{net::kTcpOptionFastOpen, 4, 1, 2};
  const auto syn = box.FromClient(connection->ToVip(kTcpSyn, cookie, Pattern(5)));
  EXPECT_EQ(syn.seen.payload, Pattern(5));
  EXPECT_EQ(syn.seen.options.at(net::kTcpOptionFastOpen), cookie);
}

TEST_P(ProxyStream, SynAckLeavesRoomForTheHeader) {
  connection->FromClient(kTcpSyn, MssOption(1460));
  isn = connection->client_next - 1;
  const auto syn_ack = connection->FromBackend(kTcpSyn | kTcpAck, MssOption(1460));
  EXPECT_EQ(syn_ack.seen.mss(), 1500 - family.ip_header_bytes - 20 - H());
  const Bytes full = Pattern(syn_ack.seen.mss());
  ExpectWithHeader(Send(0, full), full);
  EXPECT_EQ(Send(0, Pattern(full.size() + 1)).verdict, Verdict::kPacketTooBig);
  ExpectAt(Send(1, Pattern(full.size() + header_bytes())), H() + 1,
           Pattern(full.size() + header_bytes()));
}

TEST_P(ProxyStream, WithoutHeadroomItIsDropped) {
  Begin();
  const Bytes frame = TcpFrame(connection->ToVip(kTcpAck));
  for (const uint32_t headroom : {0u, header_bytes() - 1})
    EXPECT_EQ(box.ReceiveBurst(kClientPort, {frame}, headroom)[0].verdict, Verdict::kPacketTooBig);
  ExpectWithHeader(box.ReceiveBurst(kClientPort, {frame}, header_bytes())[0]);
}

TEST_P(ProxyStream, BehindIpOptionsAndBeforeOddTcpOptions) {
  Begin();
  const IpFields fields =
      v4() ? IpFields{.options = {7, 7, 4, 0, 0, 0, 0, 0}}
           : IpFields{.extensions = {6, 0, 1, 4, 0, 0, 0, 0}, .first_extension = 60};
  for (const size_t nops : {0, 1, 2, 3}) {
    const Bytes options = Concat({Nops(nops), TimestampsOption(7, 9)});
    const auto out = box.FromClient(connection->ToVip(kTcpAck, options, Pattern(9)), fields);
    ExpectWithHeader(out, Pattern(9));
    EXPECT_EQ(out.seen.timestamp_echo(), 9u);
  }
}

TEST_P(ProxyStream, KeepAliveBeforeTheStreamAsksForAnAcknowledgment) {
  Begin();
  ExpectAt(Send(-1), -1);
  ExpectAt(Send(-1, {0}), -1);  // an old byte with it, as some stacks do
  ExpectWithHeader(Send(0));
  ExpectAt(Send(-1), -1);
  Acknowledge(H());
  ExpectAt(Send(-1), H() - 1);  // old either way
}

TEST_P(ProxyStream, WindowProbeOfOneByte) {
  Begin();
  ExpectWithHeader(Send(0, Pattern(1)), Pattern(1));
}

// It counts from the segment's own sequence number.
TEST_P(ProxyStream, UrgentPointerStaysAtItsByte) {
  Begin();
  const auto urgent_of = [&](int offset, uint16_t urgent) {
    Segment segment = connection->ToVip(kTcpAck | net::kTcpUrg, {}, Pattern(9));
    segment.sequence = isn + 1 + static_cast<uint32_t>(offset);
    Bytes frame = TcpFrame(segment);
    Set16(frame, 14u + family.ip_header_bytes + 18u, urgent);
    FixChecksums(frame);
    return Get16(box.Receive(kClientPort, frame).seen.l4, 18);
  };
  EXPECT_EQ(urgent_of(0, 5), 5 + H());
  EXPECT_EQ(urgent_of(0, 65530), 65535);
  EXPECT_EQ(urgent_of(1, 5), 5);
  Acknowledge(H());
  EXPECT_EQ(urgent_of(0, 5), 5);
}

// A client that begins before its own stream would write its own header.
TEST_P(ProxyStream, ForgedHeaderIsCutOff) {
  Begin();
  const Bytes forged = Header(Host(v4() ? "1.2.3.4" : "2001:db8::bad", 9));
  for (const int before : {1, 2, H(), 1000, 1 << 30}) {
    Bytes payload(static_cast<size_t>(before) < 1000 ? static_cast<size_t>(before) : 1000);
    Put(payload, forged);
    ExpectAt(Send(-before, payload), -before);
    ExpectAt(Send(-before, payload, kTcpFin | kTcpAck), -before);
    ExpectAt(Send(-before, payload, kTcpSyn), -before);
  }
  ExpectAt(Send(0, forged, kTcpSyn), 0);
  ExpectWithHeader(Send(0, forged), forged);
}

// --- resets --------------------------------------------------------------------------------------

// RFC 5961: a backend takes a reset only with the very number that it expects next.
TEST_P(ProxyStream, ResetThatAnswersTheSynAckIsWhereTheHeaderWouldStand) {
  Begin();
  ExpectAt(Send(0, {}, kTcpRst), 0);
}

TEST_P(ProxyStream, ATextInAResetDoesNotStandInTheHeadersPlace) {
  Begin();
  const auto out = Send(0, Pattern(20), kTcpRst);
  ExpectAt(out, 0);
  EXPECT_TRUE(out.seen.payload.empty());
}

TEST_P(ProxyStream, ResetOfAnOpenConnectionIsBehindTheHeader) {
  Open();
  ExpectAt(Send(0, {}, kTcpRst | kTcpAck), H());
}

TEST_P(ProxyStream, ResetAfterTheHeaderWasLostArrivesWhenTheBackendAsks) {
  Open();  // the header is lost behind the box
  ExpectAt(Send(0, {}, kTcpRst | kTcpAck), H());
  const auto challenge = Acknowledge(0);
  Segment answer = connection->ToVip(kTcpRst);
  answer.sequence = challenge.seen.acknowledgment;
  ExpectAt(box.FromClient(answer), 0);
}

TEST_P(ProxyStream, ResetsBehindTheHeader) {
  Open();
  ExpectAt(Send(40, {}, kTcpRst), H() + 40);
}

// A backend that still holds an earlier connection answers the SYN with that one's acknowledgment:
// nothing of the header.
TEST_P(ProxyStream, StrayAcknowledgmentBeforeTheHandshakeAcknowledgesNothing) {
  for (const int place : {1'000'000, -1'000'000, H(), H() + 1}) {
    connection.emplace(box, family, static_cast<uint16_t>(41000 + place % 100));
    isn = connection->client_next;
    connection->FromClient(kTcpSyn);
    const auto challenge = Acknowledge(place);
    Segment reset = connection->ToVip(kTcpRst);
    reset.sequence = challenge.seen.acknowledgment;
    if (place != H()) ExpectAt(box.FromClient(reset), place);
    connection->client_next = isn;
    connection->FromClient(kTcpSyn);
    connection->FromBackend(kTcpSyn | kTcpAck);
    ExpectWithHeader(Send(0));
    if (HasFailure()) FAIL() << place;
  }
}

// The client gave up and tries again from the same port before the backend has answered: the
// backend's SYN-ACK says which of the two it took.
TEST_P(ProxyStream, OfTwoSynsTheOneAcknowledgedCounts) {
  for (const bool second : {false, true}) {
    connection.emplace(box, family, static_cast<uint16_t>(42000 + second));
    const uint32_t first_isn = connection->client_next;
    connection->FromClient(kTcpSyn);
    Segment other = connection->ToVip(kTcpSyn);
    other.sequence = first_isn + 77'777;
    const auto out = box.FromClient(other);
    EXPECT_EQ(out.seen.sequence, other.sequence + connection->delta);
    isn = second ? other.sequence : first_isn;
    connection->client_next = isn + 1;
    const auto syn_ack = connection->FromBackend(kTcpSyn | kTcpAck);
    EXPECT_EQ(syn_ack.seen.acknowledgment, isn + 1);
    ExpectWithHeader(Send(0));
  }
}

// --- what the backend says ---------------------------------------------------------------------

TEST_P(ProxyStream, SackBlocksEndWhereTheHeaderDoes) {
  using Blocks = std::vector<std::pair<int, int>>;
  const int h = H();
  // In the backend's numbers, from the header's first byte; in the client's, from its first.
  const std::pair<Blocks, Blocks> cases[] = {
      {{{h + 10, h + 20}}, {{10, 20}}},
      {{{0, h}}, {}},
      {{{3, 5}}, {}},
      {{{0, h + 9}}, {{0, 9}}},
      {{{h - 1, h + 1}}, {{0, 1}}},
      {{{0, h}, {h + 10, h + 20}}, {{10, 20}}},
      {{{h + 10, h + 20}, {0, h}, {h + 30, h + 40}}, {{10, 20}, {30, 40}}},
      {{{0, 1}, {2, 3}}, {}},
  };
  for (const bool acknowledged : {false, true})
    for (const auto& [shown, expected] : cases)
      for (const size_t nops : {0, 1, 2}) {
        connection.emplace(box, family, static_cast<uint16_t>(10000 + box.sessions().size()));
        Open();
        if (acknowledged) Acknowledge(h);
        const auto numbers = [&](const Blocks& blocks, uint32_t first) {
          std::vector<std::pair<uint32_t, uint32_t>> result;
          for (const auto& [left, right] : blocks)
            result.push_back(
                {first + static_cast<uint32_t>(left), first + static_cast<uint32_t>(right)});
          return result;
        };
        const Bytes options = Concat({Nops(nops), SackOption(numbers(shown, BackendNumber(0)))});
        const auto out = Acknowledge(acknowledged ? h + 5 : 0, options);
        ASSERT_EQ(out.verdict, Verdict::kForwarded);
        EXPECT_EQ(out.seen.acknowledgment, acknowledged ? isn + 6 : isn + 1);
        if (expected.empty()) {
          EXPECT_FALSE(out.seen.options.contains(net::kTcpOptionSack));
        } else {
          EXPECT_EQ(out.seen.options.at(net::kTcpOptionSack),
                    SackOption(numbers(expected, isn + 1)));
        }
        EXPECT_EQ(out.seen.header_bytes, 20 + (options.size() + 3) / 4 * 4);
      }
}

TEST_P(ProxyStream, RstWithoutAckKeepsItsFields) {
  Open();
  Segment rst = connection->ToLocal(kTcpRst);
  rst.acknowledgment = 0;
  EXPECT_EQ(box.FromBackend(rst).seen.acknowledgment, 0u);
  ExpectWithHeader(Send(0));
}

TEST_P(ProxyStream, TimestampsAreShiftedAsEver) {
  const auto syn = connection->FromClient(kTcpSyn, TimestampsOption(50, 0));
  isn = connection->client_next - 1;
  const uint32_t clock_delta = syn.seen.timestamp() - 50;
  connection->FromBackend(kTcpSyn | kTcpAck, TimestampsOption(9, 50 + clock_delta));
  const auto out = Send(0, {}, kTcpAck, TimestampsOption(51, 9));
  EXPECT_EQ(out.seen.timestamp(), 51 + clock_delta);
  EXPECT_EQ(Acknowledge(5, TimestampsOption(10, 51 + clock_delta)).seen.timestamp_echo(), 51u);
}

// --- around it -----------------------------------------------------------------------------------

TEST_P(ProxyStream, EverySessionBeginsWithOne) {
  for (int round = 0; round < 3; ++round) {
    connection.emplace(box, family);
    Open();
    Acknowledge(H());
    ExpectAt(Send(0, {}, kTcpRst | kTcpAck), H());
  }
}

TEST_P(ProxyStream, GoesOnWithoutItsService) {
  Open();
  box.services.clear();
  box.Compile();
  const auto out = box.FromClient(connection->ToVip(kTcpAck));
  EXPECT_EQ(out.seen.sequence, BackendNumber(0));
  EXPECT_EQ(out.seen.l4.size(), out.seen.header_bytes + header_bytes());
}

TEST_P(ProxyStream, ForgedToaIsBlankedAndNoneIsAdded) {
  Begin();
  const auto out = Send(0, {}, kTcpAck, ClientAddressOption(254, Host("1.2.3.4", 99)));
  ExpectWithHeader(out);
  EXPECT_TRUE(out.seen.options.empty());
}

TEST_P(ProxyStream, IcmpErrorsQuoteTheClientsNumbers) {
  Open();
  const auto error_about = [&](const Box::Outcome& sent, uint32_t mtu) {
    return box.Receive(
        kBackendPort, IcmpFrame(family.router, sent.seen.source.address, v4() ? 3 : 2, v4() ? 4 : 0,
                                mtu, Slice(sent.frame, 14, sent.frame.size())));
  };
  const auto quoted_sequence = [](const Box::Outcome& error) {
    return Dissect(Frame(error.seen.quoted)).sequence;
  };
  const auto with_header = Send(0, Pattern(600));
  const auto behind = Send(600, Pattern(600));
  const auto keep_alive = Send(-1);
  auto error = error_about(with_header, 1400);
  ASSERT_EQ(error.verdict, Verdict::kForwarded);
  EXPECT_EQ(quoted_sequence(error), isn + 1);
  EXPECT_EQ(error.seen.icmp_rest, 1400 - header_bytes());
  EXPECT_EQ(quoted_sequence(error_about(behind, 1400)), isn + 601);
  EXPECT_EQ(quoted_sequence(error_about(keep_alive, 1400)), isn);

  Acknowledge(H());
  const auto without = Send(0, Pattern(600));
  for (const auto* sent : {&with_header, &without}) {
    error = error_about(*sent, 1400);
    EXPECT_EQ(quoted_sequence(error), isn + 1);
    EXPECT_EQ(error.seen.icmp_rest, 1400u);
  }
  EXPECT_EQ(quoted_sequence(error_about(behind, 1400)), isn + 601);
  // The quoted segment's checksum holds, for it is quoted whole.
  EXPECT_EQ(Dissect(Frame(error.seen.quoted)).trouble, "");
}

// --- TCP, at random ----------------------------------------------------------------------------

// A network that loses, doubles and delays.
class Wire {
 public:
  explicit Wire(Random& random, uint32_t loss_percent)
      : random_(random), loss_percent_(loss_percent) {}
  void Put(const Bytes& frame) {
    if (random_() % 100 < loss_percent_) return;
    for (uint32_t copies = random_() % 20 == 0 ? 2 : 1; copies > 0; --copies)
      under_way_.push_back(frame);
  }
  std::optional<Bytes> Take() {
    if (under_way_.empty()) return {};
    const size_t at = random_() % 3 == 0 ? random_() % under_way_.size() : 0;
    Bytes frame = std::move(under_way_[at]);
    under_way_.erase(under_way_.begin() + static_cast<long>(at));
    return frame;
  }

 private:
  Random& random_;
  const uint32_t loss_percent_;
  std::deque<Bytes> under_way_;
};

// What has arrived of a stream, by sequence number relative to its first byte.
class Reassembly {
 public:
  explicit Reassembly(size_t bytes) : bytes_(bytes), there_(bytes) {}
  void Add(int32_t place, const Bytes& bytes) {
    ASSERT_GE(place, 0) << "before the stream";
    ASSERT_LE(static_cast<size_t>(place) + bytes.size(), bytes_.size()) << "behind it";
    for (size_t i = 0, at = static_cast<size_t>(place); i < bytes.size(); ++i, ++at) {
      EXPECT_TRUE(!there_[at] || bytes_[at] == bytes[i]) << "another byte at " << at;
      bytes_[at] = bytes[i];
      there_[at] = true;
    }
    while (next_ < there_.size() && there_[next_]) ++next_;
  }
  int32_t next() const { return static_cast<int32_t>(next_); }
  bool whole() const { return next_ == bytes_.size(); }
  const Bytes& bytes() const { return bytes_; }
  // The first two blocks behind next().
  std::vector<std::pair<int32_t, int32_t>> Blocks() const {
    std::vector<std::pair<int32_t, int32_t>> blocks;
    for (auto at = there_.begin() + next(); blocks.size() < 2;) {
      const auto left = std::find(at, there_.end(), true);
      if (left == there_.end()) break;
      at = std::find(left, there_.end(), false);
      blocks.push_back({left - there_.begin(), at - there_.begin()});
    }
    return blocks;
  }

 private:
  Bytes bytes_;
  std::vector<bool> there_;
  size_t next_ = 0;
};

// Two ends that know nothing of headers, with random habits. The client: sends any part of its
// stream from what is not acknowledged on, again in other pieces, and now and then from before
// that; keep-alives and SYNs again. The backend: acknowledges what has arrived, with SACK and
// D-SACK blocks, and sends a stream of its own once it has the header.
class Model {
 public:
  Model(Box& box, const FamilyCase& family, uint32_t seed)
      : box_(box),
        family_(family),
        random_(seed),
        client_{family.client.address, net::Be16(static_cast<uint16_t>(1024 + seed))},
        header_(ProxyHeader(client_, family.vip, kTcp)),
        client_data_(Pattern(random_() % 6000, static_cast<uint8_t>(seed))),
        backend_data_(Pattern(random_() % 3000, static_cast<uint8_t>(seed + 1))),
        client_isn_(random_()),
        backend_isn_(random_()) {}

  void Run() {
    for (int step = 0; step < 20'000 && !Done(); ++step) {
      switch (random_() % 6) {
        case 0:
          ClientSends();
          break;
        case 1:
          BackendSends();
          break;
        default:
          Deliver();
      }
      if (testing::Test::HasFailure()) FAIL() << "step " << step;
    }
    ASSERT_TRUE(Done()) << "acknowledged " << acknowledged_ << " of " << client_data_.size();
    EXPECT_EQ(at_backend_.bytes(), Concat({header_, client_data_}));
    EXPECT_EQ(at_client_.bytes(), backend_data_);
  }

 private:
  bool Done() const { return fin_acknowledged_ && at_client_.whole(); }
  int32_t H() const { return static_cast<int32_t>(header_.size()); }

  Bytes SomeOptions(const Bytes& sack = {}) {
    return Concat({Nops(random_() % 4), random_() % 2 ? TimestampsOption(7, 7) : Bytes{}, sack});
  }

  // --- the client ---
  void ClientSends() {
    if (!established_) return ToBox(kTcpSyn, -1);
    const uint32_t habit = random_() % 10;
    if (habit == 0 && acknowledged_ == 0) return ToBox(kTcpAck, -1);  // keep-alive
    if (habit == 1) return ToBox(kTcpAck, static_cast<int32_t>(sent_));
    const size_t begin = habit == 2 ? random_() % (acknowledged_ + 1)
                                    : acknowledged_ + random_() % (sent_ - acknowledged_ + 1);
    const size_t end = std::min(client_data_.size(), begin + random_() % 1300);
    const bool fin = end == client_data_.size();
    sent_ = std::max(sent_, end);
    fin_sent_ |= fin;
    ToBox(fin ? kTcpFin | kTcpAck : kTcpAck, static_cast<int32_t>(begin),
          Slice(client_data_, begin, end));
  }
  void ToBox(uint8_t flags, int32_t place, const Bytes& payload = {}) {
    client_to_box_.Put(TcpFrame(
        {.source = client_,
         .destination = family_.vip,
         .sequence = client_isn_ + 1 + static_cast<uint32_t>(place),
         .acknowledgment =
             flags & kTcpSyn ? 0 : backend_isn_ + 1 + static_cast<uint32_t>(at_client_.next()),
         .flags = flags,
         .options = SomeOptions(),
         .payload = payload}));
  }
  void ClientReceives(const Seen& seen) {
    ASSERT_EQ(seen.trouble, "");
    const auto acknowledged = static_cast<int32_t>(seen.acknowledgment - client_isn_ - 1);
    const int32_t most = static_cast<int32_t>(sent_) + (fin_sent_ ? 1 : 0);
    EXPECT_LE(acknowledged, most) << "more than was sent";
    // Old ones may come late; they say nothing.
    EXPECT_GE(acknowledged, -H());
    if (seen.flags & kTcpSyn) {
      established_ = true;
      return ToBox(kTcpAck, 0);
    }
    if (acknowledged > static_cast<int32_t>(acknowledged_))
      acknowledged_ = std::min(static_cast<size_t>(acknowledged), client_data_.size());
    fin_acknowledged_ |= acknowledged == static_cast<int32_t>(client_data_.size()) + 1;
    ExpectSackOfWhatWasSent(seen, most);
    at_client_.Add(static_cast<int32_t>(seen.sequence - backend_isn_ - 1), seen.payload);
  }
  void ExpectSackOfWhatWasSent(const Seen& seen, int32_t most) {
    const auto option = seen.options.find(net::kTcpOptionSack);
    if (option == seen.options.end()) return;
    EXPECT_GT(option->second.size(), 2u);
    for (size_t at = 2; at < option->second.size(); at += 8) {
      const auto left = static_cast<int32_t>(Get32(option->second, at) - client_isn_ - 1);
      const auto right = static_cast<int32_t>(Get32(option->second, at + 4) - client_isn_ - 1);
      EXPECT_GE(left, 0);
      EXPECT_LT(left, right);
      EXPECT_LE(right, most);
    }
  }

  // --- the backend ---
  void BackendReceivesSyn(const Seen& seen) {
    EXPECT_EQ(seen.payload, Bytes{});
    if (!backend_first_) backend_first_ = seen.sequence + 1;
    local_ = seen.source;
    backend_ = seen.destination;
    SynAckOrAck();
  }
  // RFC 5961 section 4: a connection that stands answers with an ACK.
  void SynAckOrAck() {
    if (at_backend_.next() == 0)
      BackendAnswers(kTcpSyn | kTcpAck, -1, {});
    else
      BackendAnswers(kTcpAck, BackendNext(), {});
  }
  void BackendReceives(const Seen& seen) {
    ASSERT_EQ(seen.trouble, "");
    if (seen.flags & kTcpSyn) return BackendReceivesSyn(seen);
    ASSERT_TRUE(backend_first_);
    const auto place = static_cast<int32_t>(seen.sequence - *backend_first_);
    if (seen.payload.empty() && place < at_backend_.next())
      return BackendAnswers(kTcpAck, BackendNext(), {});
    const uint32_t acknowledged = seen.acknowledgment - backend_isn_ - 1;
    backend_acknowledged_ = std::max(backend_acknowledged_, acknowledged);
    std::optional<std::pair<int32_t, int32_t>> duplicate;  // RFC 2883
    if (place < at_backend_.next())
      duplicate = {place,
                   std::min(at_backend_.next(), place + static_cast<int32_t>(seen.payload.size()))};
    at_backend_.Add(place, seen.payload);
    if (seen.flags & kTcpFin) fin_at_ = place + static_cast<int32_t>(seen.payload.size());
    if (random_() % 2) BackendAnswers(kTcpAck, BackendNext(), duplicate);
  }
  void BackendSends() {
    if (backend_first_) SynAckOrAck();
  }
  // Where its next segment begins.
  int32_t BackendNext() {
    const auto end = static_cast<uint32_t>(backend_data_.size());
    return static_cast<int32_t>(random_() % 2 ? backend_acknowledged_ : random_() % (end + 1));
  }
  void BackendAnswers(uint8_t flags, int32_t place,
                      std::optional<std::pair<int32_t, int32_t>> duplicate) {
    std::vector<std::pair<uint32_t, uint32_t>> blocks;
    const auto add = [&](const std::pair<int32_t, int32_t>& block) {
      if (blocks.size() < 2)
        blocks.push_back({*backend_first_ + static_cast<uint32_t>(block.first),
                          *backend_first_ + static_cast<uint32_t>(block.second)});
    };
    if (duplicate) add(*duplicate);
    for (const auto& block : at_backend_.Blocks()) add(block);
    Bytes payload;
    if (place >= 0 && at_backend_.next() >= H()) {
      const auto begin = static_cast<size_t>(place);
      payload =
          Slice(backend_data_, begin, std::min(backend_data_.size(), begin + random_() % 1400));
    }
    const bool has_fin = fin_at_ && at_backend_.next() == *fin_at_;
    backend_to_box_.Put(TcpFrame(
        {.source = backend_,
         .destination = local_,
         .sequence = backend_isn_ + 1 + static_cast<uint32_t>(place),
         .acknowledgment =
             *backend_first_ + static_cast<uint32_t>(at_backend_.next()) + (has_fin ? 1 : 0),
         .flags = flags,
         .options = SomeOptions(blocks.empty() || (flags & kTcpSyn) ? Bytes{} : SackOption(blocks)),
         .payload = payload}));
  }

  // --- between them ---
  void Deliver() {
    box_.Pass(random_() % 3);
    if (const auto frame = client_to_box_.Take()) {
      const auto out = box_.Receive(kClientPort, *frame);
      if (out.verdict == Verdict::kForwarded)
        box_to_backend_.Put(out.frame);
      else
        EXPECT_EQ(out.verdict, Verdict::kNoSession);
    }
    if (const auto frame = backend_to_box_.Take()) {
      const auto out = box_.Receive(kBackendPort, *frame);
      ASSERT_EQ(out.verdict, Verdict::kForwarded);
      box_to_client_.Put(out.frame);
    }
    if (const auto frame = box_to_backend_.Take()) BackendReceives(Dissect(*frame));
    if (const auto frame = box_to_client_.Take()) ClientReceives(Dissect(*frame));
  }

  Box& box_;
  const FamilyCase& family_;
  Random random_;
  const net::Endpoint client_;
  const Bytes header_, client_data_, backend_data_;
  const uint32_t client_isn_, backend_isn_;
  Wire client_to_box_{random_, 10}, box_to_backend_{random_, 20}, backend_to_box_{random_, 20},
      box_to_client_{random_, 10};

  bool established_ = false, fin_sent_ = false, fin_acknowledged_ = false;
  size_t sent_ = 0, acknowledged_ = 0;
  Reassembly at_client_{backend_data_.size()};

  net::Endpoint local_, backend_;
  std::optional<uint32_t> backend_first_;  // the number behind the client's SYN
  std::optional<int32_t> fin_at_;
  uint32_t backend_acknowledged_ = 0;
  Reassembly at_backend_{header_.size() + client_data_.size()};
};

TEST_P(ProxyProtocol, BothStreamsArriveWholeOverANetworkThatLosesDoublesAndDelays) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Model(box, family, seed).Run();
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

// --- UDP -----------------------------------------------------------------------------------------

class ProxyDatagrams : public ProxyProtocol {
 protected:
  void FirstOnly() {
    box.service(family.vip, L4Protocol::kUdp).client_address.first_datagram_only = true;
    box.Compile();
  }
  Datagram Request(const Bytes& payload, uint16_t port = 40000) const {
    return {.source = {family.client.address, net::Be16(port)},
            .destination = family.vip,
            .payload = payload};
  }
};
INSTANTIATE_TEST_SUITE_P(Family, ProxyDatagrams, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(ProxyDatagrams, EveryOneCarriesItAndNoReplyDoes) {
  for (size_t bytes = 0; bytes < 50; ++bytes) {
    const Bytes payload = Pattern(bytes);
    const auto out = box.FromClient(Request(payload));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.payload, Concat({Header(family.client, kUdp), payload}));
    const auto reply = box.FromBackend(Datagram{
        .source = out.seen.destination, .destination = out.seen.source, .payload = payload});
    EXPECT_EQ(reply.seen.payload, payload);
  }
}

TEST_P(ProxyDatagrams, TheFirstOfEachSessionWhereConfigured) {
  FirstOnly();
  for (const uint16_t port : {uint16_t{1000}, uint16_t{1001}}) {
    const Bytes header = Header({family.client.address, net::Be16(port)}, kUdp);
    EXPECT_EQ(box.FromClient(Request(Pattern(9), port)).seen.payload, Concat({header, Pattern(9)}));
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(box.FromClient(Request(Pattern(9), port)).seen.payload, Pattern(9));
  }
}

TEST_P(ProxyDatagrams, AFirstOneThatDoesNotLeaveIsNotTheFirst) {
  FirstOnly();
  EXPECT_EQ(box.FromClient(Request(Pattern(3)), {.ttl = 1}).verdict, Verdict::kTtlExceeded);
  EXPECT_EQ(box.FromClient(Request(Pattern(3))).seen.payload,
            Concat({Header(family.client, kUdp), Pattern(3)}));
}

TEST_P(ProxyDatagrams, NoChecksumStaysNone) {
  if (!v4()) return;  // the kernel's business
  Datagram request = Request(Pattern(5));
  request.without_checksum = true;
  const auto out = box.FromClient(request);
  EXPECT_EQ(out.seen.udp_checksum, 0);
  EXPECT_EQ(out.seen.payload, Concat({Header(family.client, kUdp), Pattern(5)}));
}

TEST_P(ProxyDatagrams, EveryChecksumComesOutRight) {
  for (uint32_t value = 0; value < 65536; value += 3) {
    Bytes payload;
    Put16(payload, static_cast<uint16_t>(value));
    const auto out = box.FromClient(Request(payload));
    ASSERT_EQ(out.seen.trouble, "") << value;
    ASSERT_NE(out.seen.udp_checksum, 0) << "would mean that there is none";
  }
}

TEST_P(ProxyDatagrams, NeverPastTheMtu) {
  const size_t most = 1500u - family.ip_header_bytes - 8u - header_bytes();
  EXPECT_EQ(box.FromClient(Request(Pattern(most))).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.FromClient(Request(Pattern(most + 1))).verdict, Verdict::kPacketTooBig);
  FirstOnly();
  EXPECT_EQ(box.FromClient(Request(Pattern(most + 1), 7)).verdict, Verdict::kPacketTooBig);
  EXPECT_EQ(box.FromClient(Request(Pattern(1), 7)).verdict, Verdict::kForwarded);
  EXPECT_EQ(box.FromClient(Request(Pattern(most + 1), 7)).verdict, Verdict::kForwarded);
}

TEST_P(ProxyDatagrams, AnMtuShrinksByItWhileItIsAdded) {
  for (const bool first_only : {false, true}) {
    if (first_only) FirstOnly();
    const auto sent = box.FromClient(Request(Pattern(1300), first_only ? 1 : 2));
    const auto error =
        box.Receive(kBackendPort, IcmpFrame(family.router, sent.seen.source.address, v4() ? 3 : 2,
                                            v4() ? 4 : 0, 1350, Slice(sent.frame, 14, 214)));
    ASSERT_EQ(error.verdict, Verdict::kForwarded);
    EXPECT_EQ(error.seen.icmp_rest, first_only ? 1350u : 1350u - header_bytes());
  }
}

}  // namespace
}  // namespace steelyard::test
