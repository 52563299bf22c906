// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace steelyard::net {
namespace {

Error Invalid(std::string_view what, std::string_view text) {
  return Error{"'" + std::string(text) + "' is not " + std::string(what)};
}

IpAddress MaskHostBits(const IpAddress& address, int length) {
  if (address.is_v4()) {
    const uint32_t kept = length == 0 ? 0 : UINT32_MAX << (32 - length);
    return Ipv4Address{Be32(address.v4().bits.value() & kept)};
  }
  Ipv6Address masked = address.v6();
  const auto whole_bytes = static_cast<size_t>(length / 8);
  if (whole_bytes == masked.bytes.size()) return masked;
  masked.bytes[whole_bytes] =
      static_cast<uint8_t>(masked.bytes[whole_bytes] & 0xff00 >> length % 8);
  std::fill(masked.bytes.begin() + whole_bytes + 1, masked.bytes.end(), uint8_t{0});
  return masked;
}

bool IsMappedIpv4(const Ipv6Address& address) {
  static constexpr uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(address.bytes.data(), kPrefix, sizeof kPrefix) == 0;
}

}  // namespace

bool IpAddress::IsUnicastHost() const {
  if (is_v4()) {
    const uint32_t host = v4().bits.value();
    const uint32_t first = host >> 24;
    return first != 0 && first != 127 && first < 224;
  }
  static constexpr Ipv6Address kLoopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return v6_ != Ipv6Address{} && v6_ != kLoopback && v6_.bytes[0] != 0xff;
}

bool IpAddress::IsLinkLocal() const {
  if (is_v4()) return v4().bits.value() >> 16 == 0xa9fe;
  return v6_.bytes[0] == 0xfe && (v6_.bytes[1] & 0xc0) == 0x80;
}

Prefix NetworkOf(const IpAddress& address, int length) {
  return {MaskHostBits(address, length), length};
}

bool Prefix::Contains(const IpAddress& candidate) const {
  return candidate.family() == address.family() && MaskHostBits(candidate, length) == address;
}

Result<IpAddress> ParseIpAddress(std::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return Invalid("an IPv4 or IPv6 address", text);
  uint32_t v4_raw;
  if (inet_pton(AF_INET, terminated.c_str(), &v4_raw) == 1)
    return IpAddress(Ipv4Address{Be32::FromRaw(v4_raw)});
  Ipv6Address v6;
  if (inet_pton(AF_INET6, terminated.c_str(), v6.bytes.data()) == 1 && !IsMappedIpv4(v6))
    return IpAddress(v6);
  return Invalid("an IPv4 or IPv6 address", text);
}

Result<Prefix> ParsePrefix(std::string_view text) {
  const size_t slash = text.find('/');
  const Result<IpAddress> address = ParseIpAddress(text.substr(0, slash));
  if (!address) return address.error();
  Prefix prefix{*address, address->bit_length()};
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length);
    if (error != std::errc{} || end != digits.data() + digits.size() || digits.front() == '-' ||
        prefix.length > address->bit_length())
      return Invalid("a prefix: its length is out of range", text);
  }
  if (MaskHostBits(prefix.address, prefix.length) != prefix.address)
    return Invalid("a prefix: bits behind its length are set", text);
  return prefix;
}

Result<MacAddress> ParseMacAddress(std::string_view text) {
  MacAddress mac;
  if (text.size() != 17) return Invalid("a MAC address", text);
  for (int i = 0; i < 6; ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    if (error != std::errc{} || end != digits + 2 || (i < 5 && digits[2] != ':'))
      return Invalid("a MAC address", text);
  }
  return mac;
}

std::string ToString(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN];
  if (address.is_v4()) {
    const uint32_t raw = address.v4().bits.raw();
    inet_ntop(AF_INET, &raw, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, address.v6().bytes.data(), text, sizeof text);
  }
  return text;
}

std::string ToString(const Prefix& prefix) {
  return ToString(prefix.address) + "/" + std::to_string(prefix.length);
}

std::string ToString(const MacAddress& address) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : address.bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string ToString(const Endpoint& endpoint) {
  const std::string port = std::to_string(endpoint.port.value());
  const std::string address = ToString(endpoint.address);
  return endpoint.address.is_v4() ? address + ":" + port : "[" + address + "]:" + port;
}

std::string_view ToString(L4Protocol protocol) {
  switch (protocol) {
    case L4Protocol::kIcmp:
      return "icmp";
    case L4Protocol::kTcp:
      return "tcp";
    case L4Protocol::kUdp:
      return "udp";
    case L4Protocol::kIcmpv6:
      return "icmpv6";
  }
  return "unknown";
}

}  // namespace steelyard::net
