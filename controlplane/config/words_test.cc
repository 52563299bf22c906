// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/words.h"

#include <gtest/gtest.h>

#include <random>

#include "controlplane.pb.h"
#include "model.pb.h"

namespace steelyard::controlplane {
namespace {

void ExpectEveryWordFindsItsValue(const google::protobuf::EnumDescriptor& type) {
  EXPECT_EQ(EnumWords(type).size(), static_cast<size_t>(type.value_count() - 1)) << type.name();
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    EXPECT_EQ(FindEnumWord(type, EnumWord(*type.value(i))), type.value(i));
  }
}

TEST(Words, EveryEnumeratorIsFoundByItsWord) {
  const google::protobuf::FileDescriptor& file = *v1::DesiredState::descriptor()->file();
  for (int i = 0; i < file.enum_type_count(); ++i) ExpectEveryWordFindsItsValue(*file.enum_type(i));
  ExpectEveryWordFindsItsValue(*v1::HealthCheck::Type_descriptor());
  ExpectEveryWordFindsItsValue(*v1::ClientAddress::Carrier_descriptor());
  ExpectEveryWordFindsItsValue(*v1::ClientAddress::ProxyV2Udp_descriptor());
  ExpectEveryWordFindsItsValue(*v1::OutboundGateway::UdpMapping_descriptor());
}

TEST(Words, EnumeratorsLoseTheirPrefix) {
  EXPECT_EQ(WordOf(v1::PROTOCOL_TCP), "tcp");
  EXPECT_EQ(WordOf(v1::FORWARDING_MODE_FULL_NAT), "full_nat");
  EXPECT_EQ(WordOf(v1::HealthCheck::TYPE_HTTP), "http");
  EXPECT_EQ(WordOf(v1::PROTOCOL_UNSPECIFIED), "");
  EXPECT_EQ(WordOf(static_cast<v1::Protocol>(99)), "99");
}

TEST(Words, UnspecifiedIsNoWord) {
  EXPECT_EQ(FindEnumWord(*v1::Protocol_descriptor(), ""), nullptr);
  EXPECT_EQ(FindEnumWord(*v1::Protocol_descriptor(), "unspecified"), nullptr);
  EXPECT_EQ(FindEnumWord(*v1::Protocol_descriptor(), "TCP"), nullptr);
}

TEST(Words, DurationsLoseTheirUnit) {
  const auto* type = v1::HealthCheck::descriptor();
  EXPECT_EQ(FieldWord(*type->FindFieldByName("interval_ms")), "interval");
  EXPECT_EQ(FieldWord(*type->FindFieldByName("http_path")), "http_path");
}

TEST(Words, ParsingUndoesFormatting) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t duration_ms = random() >> (random() % 64);
    EXPECT_EQ(*ParseDurationMs(DurationText(duration_ms)), duration_ms);
  }
}

TEST(Words, DurationsUseTheLargestExactUnit) {
  EXPECT_EQ(DurationText(500), "500ms");
  EXPECT_EQ(DurationText(350'000), "350s");
  EXPECT_EQ(DurationText(300'000), "5m");
  EXPECT_EQ(DurationText(86'400'000), "24h");
  EXPECT_EQ(DurationText(0), "0s");
}

TEST(Words, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "5", "s", "-1s", "+1s", " 1s", "1s ", "1 s", "1.5s", "1d", "1S",
                           "1ms2", "0x1s", "18446744073709551616ms", "18446744073709551615h"})
    EXPECT_FALSE(ParseDurationMs(text)) << text;
}

}  // namespace
}  // namespace steelyard::controlplane
