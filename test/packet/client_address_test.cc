// SPDX-License-Identifier: Apache-2.0
//
// The client's address in a TCP option (TOA): where it is, where it is not, and that nobody else
// can put it there.
#include "packet/connection.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using core::ClientAddressCarrier;
using core::ClientAddressCarrier::kToa;
using net::kTcpAck;
using net::kTcpFin;
using net::kTcpRst;
using net::kTcpSyn;
using net::Verdict;

constexpr uint8_t kKind = 254;

class ClientAddress : public testing::TestWithParam<FamilyCase> {
 protected:
  ClientAddress() {
    box.AddUsualServices();
    Carry({.carrier = kToa});
  }
  void Carry(const core::ClientAddress& client_address) {
    box.service(family.vip, net::L4Protocol::kTcp).client_address = client_address;
    box.Compile();
  }
  Bytes Expected(const Connection& connection, uint8_t kind = kKind) const {
    return ClientAddressOption(kind, connection.client);
  }
  static bool Carries(const Box::Outcome& out) { return out.seen.options.contains(kKind); }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, ClientAddress, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(ClientAddress, FromTheHandshakesAckUntilTheBackendHasSpoken) {
  Connection connection(box, family);
  EXPECT_FALSE(Carries(connection.FromClient(kTcpSyn, MssOption(1460))));
  EXPECT_FALSE(Carries(connection.FromBackend(kTcpSyn | kTcpAck)));
  for (int i = 0; i < 3; ++i) {
    const auto out = connection.FromClient(kTcpAck, {}, Pattern(static_cast<size_t>(10 * i)));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    ASSERT_TRUE(Carries(out)) << i;
    EXPECT_EQ(out.seen.options.at(kKind), Expected(connection));
    EXPECT_FALSE(Carries(connection.FromBackend(kTcpAck)));
  }
  EXPECT_FALSE(Carries(connection.FromBackend(kTcpAck, {}, Pattern(1))));
  for (int i = 0; i < 3; ++i)
    EXPECT_FALSE(Carries(connection.FromClient(kTcpAck, {}, Pattern(20))));
  EXPECT_FALSE(Carries(connection.FromClient(kTcpFin | kTcpAck)));
}

TEST_P(ClientAddress, TheSegmentIsOtherwiseTheSame) {
  Random random(1);
  Connection connection(box, family);
  const auto syn = connection.FromClient(kTcpSyn, TimestampsOption(50, 0));
  const uint32_t clock_delta = syn.seen.timestamp() - 50;
  connection.FromBackend(kTcpSyn | kTcpAck, TimestampsOption(1, 50 + clock_delta));
  for (int i = 0; i < 200; ++i) {
    const Bytes options = Concat({Nops(random() % 5), TimestampsOption(60, 1)});
    const Bytes payload = Pattern(random() % 900, static_cast<uint8_t>(i));
    const uint32_t sequence = connection.client_next;
    const auto out = connection.FromClient(kTcpAck, options, payload);
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(out.seen.options.at(kKind), Expected(connection));
    EXPECT_EQ(out.seen.timestamp(), 60 + clock_delta);
    EXPECT_EQ(out.seen.payload, payload);
    EXPECT_EQ(out.seen.sequence, sequence + connection.delta);
  }
}

TEST_P(ClientAddress, BehindExtensionHeadersAndIpOptions) {
  Connection connection(box, family);
  connection.Open();
  const IpFields fields =
      family.client.address.is_v4()
          ? IpFields{.options = {7, 7, 4, 0, 0, 0, 0, 0}}
          : IpFields{.extensions = {6, 0, 1, 4, 0, 0, 0, 0}, .first_extension = 60};
  const auto out = box.FromClient(connection.ToVip(kTcpAck, {}, Pattern(5)), fields);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_EQ(out.seen.options.at(kKind), Expected(connection));
}

TEST_P(ClientAddress, NotOnRst) {
  Connection connection(box, family);
  connection.Open();
  EXPECT_FALSE(Carries(connection.FromClient(kTcpRst)));
}

TEST_P(ClientAddress, OnSynWhereConfigured) {
  Carry({.carrier = kToa, .toa_on_syn = true, .toa_kind = 200});
  Connection connection(box, family);
  const auto syn = connection.FromClient(kTcpSyn, MssOption(1460));
  EXPECT_EQ(syn.seen.options.at(200), Expected(connection, 200));
  EXPECT_EQ(syn.seen.mss(), 1460 - (family.ip_header_bytes - 20));
  connection.FromBackend(kTcpSyn | kTcpAck);
  EXPECT_EQ(connection.FromClient(kTcpAck).seen.options.at(200), Expected(connection, 200));
}

TEST_P(ClientAddress, NeverPastSixtyBytesOfHeader) {
  Connection connection(box, family);
  connection.Open();
  for (size_t bytes = 0; bytes <= 40; bytes += 4) {
    const auto out = connection.FromClient(kTcpAck, Nops(bytes));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(Carries(out), 20 + bytes + family.option_bytes <= 60) << bytes;
    EXPECT_LE(out.seen.header_bytes, 60u);
  }
}

TEST_P(ClientAddress, NeverPastTheMtu) {
  Connection connection(box, family);
  connection.Open();
  const size_t most = 1500u - family.ip_header_bytes - 20u;
  for (size_t room = 0; room < 24; ++room) {
    const auto out = connection.FromClient(kTcpAck, {}, Pattern(most - room));
    ASSERT_EQ(out.verdict, Verdict::kForwarded);
    EXPECT_EQ(Carries(out), room >= family.option_bytes) << room;
  }
}

TEST_P(ClientAddress, NeverPastTheHeadroom) {
  Connection connection(box, family);
  connection.Open();
  for (uint32_t headroom = 0; headroom < 24; ++headroom) {
    const auto out = box.ReceiveBurst(
        kClientPort, {TcpFrame(connection.ToVip(kTcpAck, {}, Pattern(9)))}, headroom);
    ASSERT_EQ(out[0].verdict, Verdict::kForwarded);
    EXPECT_EQ(Carries(out[0]), headroom >= family.option_bytes);
  }
}

TEST_P(ClientAddress, SynAckLeavesRoomForIt) {
  const int headers = family.ip_header_bytes + 20;
  Connection connection(box, family);
  connection.FromClient(kTcpSyn, MssOption(1460));
  const auto syn_ack = connection.FromBackend(kTcpSyn | kTcpAck, MssOption(1460));
  EXPECT_EQ(syn_ack.seen.mss(), 1500 - headers - family.option_bytes);
  connection.FromClient(kTcpAck);
  // A full segment by that MSS, with the option.
  EXPECT_TRUE(Carries(connection.FromClient(kTcpAck, {}, Pattern(syn_ack.seen.mss()))));
}

// An option of our kind from outside is padding on the way out, wherever it stands and however many
// there are, whether we carry addresses or not.
TEST_P(ClientAddress, ForgedOnesAreBlanked) {
  for (const bool enabled : {true, false}) {
    Carry({.carrier = enabled ? kToa : ClientAddressCarrier::kNone});
    Connection connection(box, family, enabled ? 1000 : 2000);
    const Bytes forged = ClientAddressOption(kKind, Host("1.2.3.4", 99));
    const Bytes forged_and_other =
        Concat({Nops(1), forged, {99, 3, 77}, {kKind, 2}, {kKind, 5, 1, 2, 3}});
    for (size_t shift = 0; shift < 4; ++shift) {
      const auto syn = connection.FromClient(kTcpSyn, Concat({Nops(shift), forged_and_other}));
      ASSERT_EQ(syn.verdict, Verdict::kForwarded);
      EXPECT_FALSE(Carries(syn)) << shift;
      EXPECT_EQ(syn.seen.options.at(99), (Bytes{99, 3, 77}));
      connection.client_next -= 1;
    }
    connection.client_next += 1;
    connection.FromBackend(kTcpSyn | kTcpAck);
    for (size_t shift = 0; shift < 4; ++shift) {
      const auto ack = connection.FromClient(kTcpAck, Concat({Nops(shift), forged}));
      ASSERT_EQ(ack.verdict, Verdict::kForwarded);
      if (enabled) {
        EXPECT_EQ(ack.seen.options.at(kKind), Expected(connection));
      } else {
        EXPECT_FALSE(Carries(ack));
      }
    }
    connection.FromBackend(kTcpAck, {}, Pattern(5));
    EXPECT_FALSE(Carries(connection.FromClient(kTcpAck, forged)));
  }
}

TEST_P(ClientAddress, ForgedInFullHeadersAreBlankedToo) {
  Connection connection(box, family);
  connection.Open();
  Bytes forged(40, 7);
  forged[0] = kKind;
  forged[1] = 40;
  const auto out = connection.FromClient(kTcpAck, forged);
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_FALSE(Carries(out));
}

TEST_P(ClientAddress, NoneWhenTheServiceCarriesNone) {
  Carry({.carrier = ClientAddressCarrier::kNone});
  Connection connection(box, family);
  connection.Open();
  EXPECT_FALSE(Carries(connection.FromClient(kTcpAck, {}, Pattern(9))));
}

// A box restarted, or a session adopted, may meet a connection whose service is gone.
TEST_P(ClientAddress, WithoutServiceNothingIsAdded) {
  Connection connection(box, family);
  connection.Open();
  box.services.clear();
  box.Compile();
  const auto out = connection.FromClient(kTcpAck, {}, Pattern(9));
  ASSERT_EQ(out.verdict, Verdict::kForwarded);
  EXPECT_FALSE(Carries(out));
}

}  // namespace
}  // namespace steelyard::test
