// SPDX-License-Identifier: Apache-2.0
#include "packet/strange_frames.h"

#include <functional>

namespace steelyard::test {

using net::PacketClass;
using net::Verdict;

namespace {

constexpr size_t kL3 = 14;

Segment Syn4() {
  return {
      .source = kClient4, .destination = kVip4, .flags = net::kTcpSyn, .options = MssOption(1460)};
}
Segment Syn6() {
  return {
      .source = kClient6, .destination = kVip6, .flags = net::kTcpSyn, .options = MssOption(1440)};
}
Datagram Datagram4() {
  return {.source = kClient4, .destination = kVip4, .payload = Pattern(9)};
}
Datagram Datagram6() {
  return {.source = kClient6, .destination = kVip6, .payload = Pattern(9)};
}

Bytes Altered(Bytes frame, const std::function<void(Bytes&)>& alter) {
  alter(frame);
  return frame;
}

Bytes AlteredIpv4(Bytes frame, const std::function<void(Bytes&)>& alter) {
  alter(frame);
  FixIpv4Checksum(frame);
  return frame;
}

Bytes WithOptions(const Bytes& ip_options) {
  return TcpFrame(Syn4(), {.options = ip_options});
}

Bytes WithExtensions(uint8_t first, const Bytes& extensions) {
  return TcpFrame(Syn6(), {.extensions = extensions, .first_extension = first});
}

Bytes WithTcpFlags(uint8_t flags) {
  Segment segment = Syn4();
  segment.flags = flags;
  return TcpFrame(segment);
}

// The TCP header of a frame without IP options, altered; the TCP checksum is left alone, since the
// parser does not look at it.
Bytes WithTcpOptions(const Bytes& options) {
  Segment segment = Syn4();
  segment.options = options;
  return TcpFrame(segment);
}

Bytes Fragment4(uint16_t flags_and_offset, uint8_t protocol = 6) {
  return Frame(Ip(kClient4.address, kVip4.address, protocol, Pattern(40),
                  {.flags_and_offset = flags_and_offset}));
}

Bytes FragmentHeader(uint8_t next_header, uint16_t offset_and_more) {
  Bytes header{next_header, 0};
  Put16(header, offset_and_more);
  Put32(header, 0xabcdef01);
  return header;
}

Bytes Options(uint8_t next_header, size_t units = 0) {
  Bytes header(8 + 8 * units);
  header[0] = next_header;
  header[1] = static_cast<uint8_t>(units);
  header[2] = 1;  // PadN
  header[3] = static_cast<uint8_t>(header.size() - 4);
  return header;
}

Bytes Routing(uint8_t next_header, uint8_t type, uint8_t segments_left) {
  return {next_header, 0, type, segments_left, 0, 0, 0, 0};
}

Bytes Quote4(size_t bytes) {
  return Slice(Ip(kVip4.address, kClient4.address, 6,
                  Tcp({.source = kVip4, .destination = kClient4, .payload = Pattern(20)})),
               0, bytes);
}
Bytes Quote6(size_t bytes) {
  return Slice(Ip(kVip6.address, kClient6.address, 6,
                  Tcp({.source = kVip6, .destination = kClient6, .payload = Pattern(20)})),
               0, bytes);
}

Bytes Error4(const Bytes& quoted, uint8_t type = 3, uint8_t code = 3) {
  return IcmpFrame(kClient4.address, kVip4.address, type, code, 0, quoted);
}
Bytes Error6(const Bytes& quoted, uint8_t type = 1, uint8_t code = 4) {
  return IcmpFrame(kClient6.address, kVip6.address, type, code, 0, quoted);
}

struct Rows {
  std::vector<StrangeFrame> all;
  void Malformed(const std::string& name, const Bytes& frame, Verdict reason) {
    all.push_back({name, frame, PacketClass::kMalformed, reason});
  }
  void Kernels(const std::string& name, const Bytes& frame) {
    all.push_back({name, frame, PacketClass::kOther, Verdict::kPunted});
  }
  void Fragment(const std::string& name, const Bytes& frame, Verdict verdict = Verdict::kFragment) {
    all.push_back({name, frame, PacketClass::kFragment, verdict});
  }
  void Flow(const std::string& name, const Bytes& frame, Verdict verdict = Verdict::kForwarded) {
    all.push_back({name, frame, PacketClass::kFlow, verdict});
  }
  void UnknownError(const std::string& name, const Bytes& frame) {
    all.push_back({name, frame, PacketClass::kIcmpError, Verdict::kPunted});
  }
};

void AddEthernet(Rows& rows) {
  rows.Malformed("empty frame", {}, Verdict::kMalformedEthernet);
  rows.Malformed("runt", Bytes(13, 0xff), Verdict::kMalformedEthernet);
  rows.Kernels("ARP", Ethernet(0x0806, Pattern(28), {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}));
  rows.Kernels("ARP to us", Ethernet(0x0806, Pattern(28)));
  rows.Kernels("header alone of an unknown type", Ethernet(0x88b5, {}));
  rows.Kernels("another's MAC", Frame(Slice(TcpFrame(Syn4()), kL3, 54), kSomeMac));
  rows.Kernels("broadcast MAC",
               Frame(Slice(TcpFrame(Syn4()), kL3, 54), {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}));
  Bytes tagged{0, 42, 8, 0};
  Put(tagged, Slice(TcpFrame(Syn4()), kL3, 58));
  rows.Kernels("VLAN tag", Ethernet(0x8100, tagged));
  rows.Kernels("larger than any offset",
               Altered(TcpFrame(Syn4()), [](Bytes& frame) { frame.resize(70000); }));
}

void AddIpv4(Rows& rows) {
  const auto bad = [&](const char* name, const Bytes& frame) {
    rows.Malformed(std::string("IPv4 ") + name, frame, Verdict::kMalformedIpv4);
  };
  const Bytes good = TcpFrame(Syn4());
  bad("nothing behind Ethernet", Slice(good, 0, 14));
  bad("header cut short", Slice(good, 0, 33));
  bad("version 5", AlteredIpv4(good, [](Bytes& f) { f[14] = 0x55; }));
  bad("version 6", AlteredIpv4(good, [](Bytes& f) { f[14] = 0x65; }));
  bad("header length 4", AlteredIpv4(good, [](Bytes& f) { f[14] = 0x44; }));
  bad("header length 0", AlteredIpv4(good, [](Bytes& f) { f[14] = 0x40; }));
  bad("header longer than the packet", AlteredIpv4(Slice(good, 0, 50), [](Bytes& f) {
        f[14] = 0x4f;
        Set16(f, 16, 36);
      }));
  bad("total length below the header", AlteredIpv4(good, [](Bytes& f) { Set16(f, 16, 19); }));
  bad("total length zero", AlteredIpv4(good, [](Bytes& f) { Set16(f, 16, 0); }));
  bad("total length beyond the frame",
      AlteredIpv4(good, [&](Bytes& f) { Set16(f, 16, static_cast<uint16_t>(good.size() - 13)); }));
  bad("checksum", Altered(good, [](Bytes& f) { f[24] ^= 1; }));
  bad("option length 0", WithOptions({7, 0, 0, 0}));
  bad("option length 1", WithOptions({7, 1, 0, 0}));
  bad("option beyond the header", WithOptions({7, 5, 0, 0}));
  bad("option without length", WithOptions({1, 1, 1, 7}));
  rows.Kernels("IPv4 loose source route", WithOptions({131, 7, 4, 10, 0, 0, 1, 0}));
  rows.Kernels("IPv4 strict source route", WithOptions({1, 137, 7, 4, 10, 0, 0, 1}));
  rows.Flow("IPv4 record route", WithOptions({7, 7, 4, 0, 0, 0, 0, 0}));
  rows.Flow("IPv4 end of options, then rubbish", WithOptions({0, 7, 99, 0}));
  for (const char* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.1.10"}) {
    Segment segment = Syn4();
    segment.source.address = Address(source);
    rows.Kernels(std::string("IPv4 source ") + source, TcpFrame(segment));
  }
  rows.Kernels("IPv4 unknown protocol",
               Frame(Ip(kClient4.address, kVip4.address, 132, Pattern(20))));
  rows.Kernels("IPv4 ICMPv6", Frame(Ip(kClient4.address, kVip4.address, 58, Pattern(20))));
  rows.Kernels("IPv4 nothing inside", Frame(Ip(kClient4.address, kVip4.address, 132, {})));
  rows.Fragment("IPv4 first fragment", Fragment4(0x2000));
  rows.Fragment("IPv4 middle fragment", Fragment4(0x2005));
  rows.Fragment("IPv4 last fragment", Fragment4(0x0005));
  rows.Fragment("IPv4 UDP fragment", Fragment4(0x2000, 17));
  rows.Fragment("IPv4 ICMP fragment", Fragment4(0x2000, 1), Verdict::kPunted);
  rows.Kernels("IPv4 SCTP fragment", Fragment4(0x2000, 132));
  rows.Fragment("IPv4 fragment to another",
                Frame(Ip(kClient4.address, Address("10.0.9.9"), 6, Pattern(40),
                         {.flags_and_offset = 0x2000})),
                Verdict::kPunted);
}

void AddIpv6(Rows& rows) {
  const auto bad = [&](const char* name, const Bytes& frame) {
    rows.Malformed(std::string("IPv6 ") + name, frame, Verdict::kMalformedIpv6);
  };
  const Bytes good = TcpFrame(Syn6());
  bad("nothing behind Ethernet", Slice(good, 0, 14));
  bad("header cut short", Slice(good, 0, 53));
  bad("version 4", Altered(good, [](Bytes& f) { f[14] = 0x45; }));
  bad("version 7", Altered(good, [](Bytes& f) { f[14] = 0x70; }));
  bad("payload length beyond the frame",
      Altered(good, [&](Bytes& f) { Set16(f, 18, static_cast<uint16_t>(good.size() - 53)); }));
  bad("hop-by-hop not first", WithExtensions(60, Concat({Options(0), Options(6)})));
  bad("hop-by-hop twice", WithExtensions(0, Concat({Options(0), Options(6)})));
  Bytes chain;
  for (int i = 0; i < 40; ++i) Put(chain, Options(60));
  bad("endless chain", WithExtensions(60, chain));
  bad("extension cut short", Frame(Ip(kClient6.address, kVip6.address, 60, Pattern(7))));
  bad("extension of no bytes", Frame(Ip(kClient6.address, kVip6.address, 60, {})));
  bad("extension longer than the packet",
      Frame(Ip(kClient6.address, kVip6.address, 60, {6, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0})));
  bad("fragment header cut short",
      Frame(Ip(kClient6.address, kVip6.address, 44, {6, 0, 0, 0, 0, 0, 0})));
  bad("routing type 0", WithExtensions(43, Routing(6, 0, 0)));
  bad("routing type 0 on the way", WithExtensions(43, Routing(6, 0, 1)));
  bad("jumbogram", Altered(WithExtensions(0, Options(6)), [](Bytes& f) { Set16(f, 18, 0); }));
  rows.Kernels("IPv6 routing on the way", WithExtensions(43, Routing(6, 4, 1)));
  rows.Kernels("IPv6 no next header", Frame(Ip(kClient6.address, kVip6.address, 59, Pattern(9))));
  rows.Kernels("IPv6 unknown protocol", Frame(Ip(kClient6.address, kVip6.address, 132, {})));
  rows.Kernels("IPv6 ICMPv4", Frame(Ip(kClient6.address, kVip6.address, 1, Pattern(20))));
  for (const char* source : {"::", "::1", "ff02::1", "fe80::1", "fd00:1::10"}) {
    Segment segment = Syn6();
    segment.source.address = Address(source);
    rows.Kernels(std::string("IPv6 source ") + source, TcpFrame(segment));
  }
  Segment mapped = Syn6();
  mapped.source.address =
      net::Ipv6Address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};
  rows.Kernels("IPv6 source ::ffff:127.0.0.1", TcpFrame(mapped));
  rows.Flow("IPv6 hop-by-hop", WithExtensions(0, Options(6)));
  rows.Flow("IPv6 destination options", WithExtensions(60, Options(6, 2)));
  rows.Flow("IPv6 routing at its end", WithExtensions(43, Routing(6, 4, 0)));
  rows.Flow("IPv6 chain",
            WithExtensions(0, Concat({Options(60), Options(43), Routing(60, 4, 0), Options(6)})));
  rows.Flow("IPv6 atomic fragment", WithExtensions(44, FragmentHeader(6, 0)));
  rows.Flow("IPv6 atomic fragment, reserved bits", WithExtensions(44, FragmentHeader(6, 6)));
  rows.Fragment("IPv6 first fragment", WithExtensions(44, FragmentHeader(6, 1)));
  rows.Fragment("IPv6 last fragment", WithExtensions(44, FragmentHeader(17, 8)));
  rows.Fragment("IPv6 fragment behind options",
                WithExtensions(0, Concat({Options(44), FragmentHeader(6, 9)})));
  rows.Fragment("IPv6 ICMP fragment", WithExtensions(44, FragmentHeader(58, 1)), Verdict::kPunted);
  rows.Fragment("IPv6 fragment to another",
                Frame(Ip(kClient6.address, Address("fd00:9::9"), 6, Pattern(40),
                         {.extensions = FragmentHeader(6, 1), .first_extension = 44})),
                Verdict::kPunted);
}

void AddTcp(Rows& rows) {
  const auto bad = [&](const std::string& name, const Bytes& frame) {
    rows.Malformed("TCP " + name, frame, Verdict::kMalformedTcp);
  };
  const Bytes good = TcpFrame(Syn4());
  bad("nothing behind IPv4", Frame(Ip(kClient4.address, kVip4.address, 6, {})));
  bad("header cut short", Frame(Ip(kClient4.address, kVip4.address, 6, Slice(Tcp(Syn4()), 0, 19))));
  bad("header cut short in IPv6",
      Frame(Ip(kClient6.address, kVip6.address, 6, Slice(Tcp(Syn6()), 0, 19))));
  bad("data offset 4", Altered(good, [](Bytes& f) { f[46] = 0x40; }));
  bad("data offset 0", Altered(good, [](Bytes& f) { f[46] = 0x00; }));
  bad("data offset beyond the segment", Altered(good, [](Bytes& f) { f[46] = 0x70; }));
  bad("data offset into padding", Altered(good, [](Bytes& f) {
        f[46] = 0xf0;
        f.resize(100);
      }));
  using enum net::TcpFlags;
  const auto flags = [](auto... each) { return static_cast<uint8_t>((each | ... | 0)); };
  for (const uint8_t other : {flags(), flags(kTcpPsh), flags(kTcpUrg), flags(kTcpPsh, kTcpUrg)}) {
    const std::string and_others = "+" + std::to_string(other);
    bad("flags none" + and_others, WithTcpFlags(other));
    bad("flags FIN" + and_others, WithTcpFlags(flags(kTcpFin, other)));
    bad("flags SYN FIN" + and_others, WithTcpFlags(flags(kTcpSyn, kTcpFin, other)));
    bad("flags SYN RST" + and_others, WithTcpFlags(flags(kTcpSyn, kTcpRst, other)));
    bad("flags RST FIN" + and_others, WithTcpFlags(flags(kTcpRst, kTcpFin, other)));
    bad("flags SYN FIN ACK" + and_others, WithTcpFlags(flags(kTcpSyn, kTcpFin, kTcpAck, other)));
    bad("flags SYN RST ACK" + and_others, WithTcpFlags(flags(kTcpSyn, kTcpRst, kTcpAck, other)));
    bad("flags RST FIN ACK" + and_others, WithTcpFlags(flags(kTcpRst, kTcpFin, kTcpAck, other)));
    rows.Flow("TCP flags SYN" + and_others, WithTcpFlags(flags(kTcpSyn, other)));
    for (const uint8_t lone : {flags(kTcpAck), flags(kTcpRst), flags(kTcpRst, kTcpAck),
                               flags(kTcpFin, kTcpAck), flags(kTcpSyn, kTcpAck)})
      rows.Flow("TCP flags " + std::to_string(lone) + and_others, WithTcpFlags(flags(lone, other)),
                Verdict::kNoSession);
  }
  rows.Flow("TCP SYN with ECE and CWR", WithTcpFlags(0xc2));
  bad("option length 0", WithTcpOptions({99, 0, 1, 1}));
  bad("option length 1", WithTcpOptions({99, 1, 1, 1}));
  bad("option without length", WithTcpOptions({1, 1, 1, 99}));
  bad("option over-run", WithTcpOptions({99, 5, 0, 0}));
  bad("MSS over-run", WithTcpOptions({1, 2, 4, 5}));
  bad("option over-run at 60 bytes", WithTcpOptions(Concat({Nops(38), {99, 3}})));
  rows.Flow("TCP end of options, then rubbish", WithTcpOptions({0, 99, 0, 0}));
  rows.Flow("TCP MSS of wrong length", WithTcpOptions({2, 3, 5, 1}));
  rows.Flow("TCP SACK of wrong length", WithTcpOptions({5, 9, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1}));
  rows.Flow("TCP timestamps of wrong length", WithTcpOptions({8, 4, 1, 2}));
  rows.Flow("TCP options twice",
            WithTcpOptions(Concat({MssOption(1000), MssOption(9000), TimestampsOption(1, 2),
                                   TimestampsOption(3, 4)})));
  rows.Flow("TCP 60 bytes of header", WithTcpOptions(Nops(40)));
  rows.Flow("TCP empty SACK", WithTcpOptions({5, 2, 1, 1}));
}

void AddUdp(Rows& rows) {
  const auto bad = [&](const char* name, const Bytes& frame) {
    rows.Malformed(std::string("UDP ") + name, frame, Verdict::kMalformedUdp);
  };
  const Bytes good = UdpFrame(Datagram4());
  bad("nothing behind IPv4", Frame(Ip(kClient4.address, kVip4.address, 17, {})));
  bad("header cut short",
      Frame(Ip(kClient4.address, kVip4.address, 17, Slice(Udp(Datagram4()), 0, 7))));
  bad("length below the header", Altered(good, [](Bytes& f) { Set16(f, 38, 7); }));
  bad("length zero", Altered(good, [](Bytes& f) { Set16(f, 38, 0); }));
  bad("length beyond the datagram", Altered(good, [](Bytes& f) { Set16(f, 38, 18); }));
  bad("length into padding", Altered(good, [](Bytes& f) {
        Set16(f, 38, 18);
        f.resize(100);
      }));
  Datagram without = Datagram6();
  without.without_checksum = true;
  rows.Kernels("UDP no checksum on IPv6", UdpFrame(without));
  without = Datagram4();
  without.without_checksum = true;
  rows.Flow("UDP no checksum on IPv4", UdpFrame(without));
  Datagram empty = Datagram4();
  empty.payload.clear();
  rows.Flow("UDP without payload", UdpFrame(empty));
}

void AddIcmp(Rows& rows) {
  const auto bad = [&](const char* name, const Bytes& frame) {
    rows.Malformed(std::string("ICMP ") + name, frame, Verdict::kMalformedIcmp);
  };
  bad("nothing behind IPv4", Frame(Ip(kClient4.address, kVip4.address, 1, {})));
  bad("header cut short", Frame(Ip(kClient4.address, kVip4.address, 1, {3, 3, 0})));
  bad("header cut short in IPv6", Frame(Ip(kClient6.address, kVip6.address, 58, {1, 4, 0})));
  rows.Kernels("ICMP error without second word",
               Frame(Ip(kClient4.address, kVip4.address, 1, {3, 3, 0, 0})));
  rows.Flow("ICMP echo", Error4(Pattern(56), 8, 0), Verdict::kPunted);
  rows.Flow("ICMP echo reply", Error4(Pattern(56), 0, 0), Verdict::kPunted);
  rows.Kernels("ICMP echo with a code", Error4(Pattern(56), 8, 1));
  rows.Kernels("ICMP redirect", Error4(Quote4(28), 5, 1));
  rows.Kernels("ICMP source quench", Error4(Quote4(28), 4, 0));
  rows.Flow("ICMPv6 echo", Error6(Pattern(56), 128, 0), Verdict::kPunted);
  rows.Flow("ICMPv6 echo reply", Error6(Pattern(56), 129, 0), Verdict::kPunted);
  rows.Kernels("ICMPv6 neighbour solicitation", Error6(Pattern(24), 135, 0));
  for (const size_t bytes : {0, 1, 19, 20, 27})
    rows.Kernels("ICMP quotes " + std::to_string(bytes) + " bytes", Error4(Quote4(bytes)));
  for (const size_t bytes : {0, 1, 39, 40, 47})
    rows.Kernels("ICMPv6 quotes " + std::to_string(bytes) + " bytes", Error6(Quote6(bytes)));
  const auto quote = [](size_t at, uint8_t value) {
    return Altered(Quote4(40), [&](Bytes& quoted) { quoted[at] = value; });
  };
  rows.Kernels("ICMP quotes IPv6 version", Error4(quote(0, 0x65)));
  rows.Kernels("ICMP quotes a header of 16 bytes", Error4(quote(0, 0x44)));
  rows.Kernels("ICMP quotes a header beyond the packet", Error4(quote(0, 0x4f)));
  rows.Kernels("ICMP quotes a later fragment", Error4(quote(7, 9)));
  rows.Kernels("ICMP quotes ICMP", Error4(quote(9, 1)));
  rows.Kernels("ICMPv6 quotes IPv4 version",
               Error6(Altered(Quote6(60), [](Bytes& quoted) { quoted[0] = 0x45; })));
  rows.Kernels("ICMPv6 quotes an extension header",
               Error6(Altered(Quote6(60), [](Bytes& quoted) { quoted[6] = 60; })));
  rows.UnknownError("ICMP about nobody's packet", Error4(Quote4(28)));
  rows.UnknownError("ICMP time exceeded about nobody's packet", Error4(Quote4(40), 11, 0));
  rows.UnknownError("ICMP parameter problem about nobody's packet", Error4(Quote4(40), 12, 0));
  rows.UnknownError("ICMPv6 about nobody's packet", Error6(Quote6(48)));
  rows.UnknownError("ICMPv6 too big about nobody's packet", Error6(Quote6(80), 2, 0));
}

}  // namespace

std::vector<StrangeFrame> StrangeFrames() {
  Rows rows;
  AddEthernet(rows);
  AddIpv4(rows);
  AddIpv6(rows);
  AddTcp(rows);
  AddUdp(rows);
  AddIcmp(rows);
  return rows.all;
}

std::vector<Bytes> OrdinaryFrames() {
  Segment established4 = Syn4(), established6 = Syn6();
  established4.flags = established6.flags = net::kTcpAck;
  established4.options = established6.options = Concat({Nops(2), TimestampsOption(7, 8)});
  established4.payload = established6.payload = Pattern(30);
  Segment lossy = established4;
  lossy.options =
      Concat({TimestampsOption(7, 8), SackOption({{100, 200}, {300, 400}}), MssOption(1460)});
  return {TcpFrame(Syn4()),
          TcpFrame(Syn6()),
          TcpFrame(established4),
          TcpFrame(established6),
          TcpFrame(lossy),
          TcpFrame(established4, {.options = {7, 7, 4, 0, 0, 0, 0, 0}}),
          WithExtensions(0, Concat({Options(60), Options(44), FragmentHeader(6, 0)})),
          UdpFrame(Datagram4()),
          UdpFrame(Datagram6()),
          Fragment4(0x2005),
          Error4(Quote4(60)),
          Error4(Concat({Quote4(28)}), 11, 0),
          Error6(Quote6(80), 2, 0),
          Ethernet(0x0806, Pattern(28))};
}

}  // namespace steelyard::test
