// SPDX-License-Identifier: Apache-2.0
//
// Link and network addresses as values: parsed from text once, formatted for people, compared and
// hashed in between. Text forms: RFC 4291 section 2.2 and RFC 5952 for IPv6, dotted quad for IPv4.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "net/byte_order.h"
#include "net/result.h"

namespace steelyard::net {

// Equality is asked of every packet, and compilers make a call of it where they are left to
// themselves.
struct MacAddress {
  std::array<uint8_t, 6> bytes{};
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
  friend constexpr bool operator==(const MacAddress& a, const MacAddress& b) {
    if (std::is_constant_evaluated()) return a.bytes == b.bytes;
    return std::memcmp(a.bytes.data(), b.bytes.data(), sizeof a.bytes) == 0;
  }
  bool IsZero() const { return *this == MacAddress{}; }
  bool IsGroup() const { return (bytes[0] & 1) != 0; }
};

struct Ipv4Address {
  Be32 bits;
  friend constexpr auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;
};

struct Ipv6Address {
  std::array<uint8_t, 16> bytes{};
  friend constexpr auto operator<=>(const Ipv6Address&, const Ipv6Address&) = default;
  friend constexpr bool operator==(const Ipv6Address& a, const Ipv6Address& b) {
    using Words = std::array<uint64_t, 2>;
    const auto x = std::bit_cast<Words>(a), y = std::bit_cast<Words>(b);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
  }
};

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

// Either family. An IPv4 address is held as its IPv4-mapped IPv6 form (::ffff:a.b.c.d, RFC 4291
// section 2.5.5.2), which the parser refuses as text and the packet path never sees on the wire.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  constexpr IpAddress(Ipv4Address v4) : family_(Family::kIpv4) {  // NOLINT: implicit by design
    v6_.bytes[10] = v6_.bytes[11] = 0xff;
    const auto bytes = std::bit_cast<std::array<uint8_t, 4>>(v4.bits);
    for (int i = 0; i < 4; ++i) v6_.bytes[12 + i] = bytes[i];
  }
  constexpr IpAddress(const Ipv6Address& v6) : v6_(v6), family_(Family::kIpv6) {}  // NOLINT

  constexpr Family family() const { return family_; }
  constexpr bool is_v4() const { return family_ == Family::kIpv4; }
  Ipv4Address v4() const {
    uint32_t raw;
    std::memcpy(&raw, &v6_.bytes[12], 4);
    return Ipv4Address{Be32::FromRaw(raw)};
  }
  // The mapped form for an IPv4 address.
  constexpr const Ipv6Address& v6() const { return v6_; }
  constexpr int bit_length() const { return is_v4() ? 32 : 128; }
  // Bit `index` counted from the most significant one of the address's own family.
  bool bit(int index) const {
    const int at = is_v4() ? 96 + index : index;
    return (v6_.bytes[at / 8] >> (7 - at % 8)) & 1;
  }
  // Unspecified, multicast, broadcast or loopback: cannot be a host on a network.
  bool IsUnicastHost() const;
  // Means something on one link only (RFC 3927, RFC 4291 section 2.5.6).
  bool IsLinkLocal() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  Ipv6Address v6_{};
  Family family_ = Family::kIpv6;
};

struct Prefix {
  IpAddress address;  // host bits are zero
  int length = 0;     // 0 to 32 or 128
  bool Contains(const IpAddress& candidate) const;
  friend constexpr auto operator<=>(const Prefix&, const Prefix&) = default;
};

// The prefix of that length that the address is in.
Prefix NetworkOf(const IpAddress& address, int length);

enum class L4Protocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58 };

struct Endpoint {
  IpAddress address;
  Be16 port;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

Result<IpAddress> ParseIpAddress(std::string_view text);
// "192.0.2.0/24"; an address alone is a prefix of full length. Host bits that are set are an error.
Result<Prefix> ParsePrefix(std::string_view text);
Result<MacAddress> ParseMacAddress(std::string_view text);

std::string ToString(const IpAddress& address);
std::string ToString(const Prefix& prefix);
std::string ToString(const MacAddress& address);
std::string ToString(const Endpoint& endpoint);  // 192.0.2.1:80, [2001:db8::1]:80
std::string_view ToString(L4Protocol protocol);

// For unordered containers of addresses that are configured or the kernel's: it has no secret, so
// that whoever chooses them may make them collide.
struct AddressHash {
  size_t operator()(const IpAddress& address) const {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(address.v6());
    __extension__ using Uint128 = unsigned __int128;
    const Uint128 product =
        static_cast<Uint128>(words[0] ^ 0x9e3779b97f4a7c15) * (words[1] ^ 0xd1b54a32d192ed03);
    return static_cast<size_t>(product) ^ static_cast<size_t>(product >> 64);
  }
  size_t operator()(const Endpoint& endpoint) const {
    return (*this)(endpoint.address) * 0x9e3779b97f4a7c15ULL + endpoint.port.raw();
  }
};

}  // namespace steelyard::net
