// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <gtest/gtest.h>

namespace steelyard::net {
namespace {

TEST(Address, TextRoundTrips) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "fe80::1"}) {
    const Result<IpAddress> parsed = ParseIpAddress(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(ToString(*parsed), text);
  }
}

TEST(Address, RefusesWhatIsNotAnAddress) {
  for (const char* text : {"", "192.0.2", "192.0.2.256", "192.0.2.1 ", "2001:db8::1::", "::ffff:192.0.2.1",
                           "192.0.2.1/24", "host"})
    EXPECT_FALSE(ParseIpAddress(text)) << text;
  EXPECT_FALSE(ParseIpAddress(std::string_view("192.0.2.1\0x", 11)));
}

TEST(Address, FamiliesDiffer) {
  EXPECT_TRUE(ParseIpAddress("0.0.0.0")->is_v4());
  EXPECT_FALSE(ParseIpAddress("::")->is_v4());
  EXPECT_NE(*ParseIpAddress("0.0.0.0"), *ParseIpAddress("::"));
}

TEST(Address, HostAddresses) {
  EXPECT_TRUE(ParseIpAddress("192.0.2.1")->IsUnicastHost());
  EXPECT_TRUE(ParseIpAddress("2001:db8::1")->IsUnicastHost());
  for (const char* text : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"})
    EXPECT_FALSE(ParseIpAddress(text)->IsUnicastHost()) << text;
}

TEST(Address, LinkLocal) {
  for (const char* text : {"169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"})
    EXPECT_TRUE(ParseIpAddress(text)->IsLinkLocal()) << text;
  for (const char* text : {"169.253.0.1", "169.255.0.1", "fe7f::1", "fec0::1", "::1"})
    EXPECT_FALSE(ParseIpAddress(text)->IsLinkLocal()) << text;
}

// Of every length: the bits before its end are the address's, those behind it are none.
TEST(Prefix, NetworkKeepsTheBitsOfItsLength) {
  for (const char* text : {"203.0.113.255", "2001:db8:ffff:1234:5678:9abc:def0:ffff"}) {
    const IpAddress address = *ParseIpAddress(text);
    const auto bit_of = [&](const IpAddress& of, int bit) {
      const int at = bit + 128 - address.bit_length();  // an IPv4 address is the last 32
      return of.v6().bytes[static_cast<size_t>(at / 8)] >> (7 - at % 8) & 1;
    };
    for (int length = 0; length <= address.bit_length(); ++length) {
      const Prefix network = NetworkOf(address, length);
      EXPECT_EQ(network.length, length);
      EXPECT_EQ(network.address.family(), address.family());
      EXPECT_TRUE(network.Contains(address));
      for (int bit = 0; bit < address.bit_length(); ++bit)
        ASSERT_EQ(bit_of(network.address, bit), bit < length ? bit_of(address, bit) : 0)
            << text << "/" << length << " bit " << bit;
    }
  }
}

TEST(Prefix, ContainsItsOwn) {
  const Prefix v4 = *ParsePrefix("10.1.0.0/16");
  EXPECT_TRUE(v4.Contains(*ParseIpAddress("10.1.255.255")));
  EXPECT_FALSE(v4.Contains(*ParseIpAddress("10.2.0.0")));
  EXPECT_FALSE(v4.Contains(*ParseIpAddress("2001:db8::1")));
  const Prefix v6 = *ParsePrefix("2001:db8:8000::/33");
  EXPECT_TRUE(v6.Contains(*ParseIpAddress("2001:db8:ffff::1")));
  EXPECT_FALSE(v6.Contains(*ParseIpAddress("2001:db8:7fff::1")));
  EXPECT_TRUE(ParsePrefix("0.0.0.0/0")->Contains(*ParseIpAddress("203.0.113.9")));
  EXPECT_EQ(ParsePrefix("192.0.2.1")->length, 32);
}

TEST(Prefix, RefusesBadOnes) {
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.1/24", "::/129", "10.0.0.0/8x"})
    EXPECT_FALSE(ParsePrefix(text)) << text;
}

TEST(MacAddress, TextRoundTrips) {
  EXPECT_EQ(ToString(*ParseMacAddress("02:00:5e:10:00:fF")), "02:00:5e:10:00:ff");
  for (const char* text : {"", "02:00:5e:10:00", "02-00-5e-10-00-ff", "0g:00:5e:10:00:ff", "02:00:5e:10:00:fff"})
    EXPECT_FALSE(ParseMacAddress(text)) << text;
}

TEST(Be, ValueAndWire) {
  const Be32 value(0x01020304);
  uint8_t bytes[4];
  std::memcpy(bytes, &value, 4);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[3], 4);
  EXPECT_EQ(value.value(), 0x01020304u);
  EXPECT_LT(Be16(1), Be16(256));
}

}  // namespace
}  // namespace steelyard::net
