// SPDX-License-Identifier: Apache-2.0
//
// Parsing frames that are in the cache, by what stands in them; each is a burst of its own kind.
// Beside it the yardstick: copying as much as the shortest headers out of each frame.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "../measure.h"
#include "net/parser.h"
#include "packet/packet_builder.h"

namespace steelyard::net {
namespace {

using test::Bytes;

constexpr uint32_t kBurst = 32;
constexpr uint32_t kBursts = 64;
constexpr double kPackets = kBurst * kBursts;
constexpr size_t kHeaderBytes = sizeof(EthernetHeader) + sizeof(Ipv4Header) + sizeof(TcpHeader);

const Endpoint kClient4 = test::Host("198.51.100.7", 40000), kVip4 = test::Host("10.0.1.10", 80);
const Endpoint kClient6 = test::Host("2001:db8:7::7", 40000), kVip6 = test::Host("fd00:1::10", 80);
const Bytes kPayload = test::Pattern(64);

Bytes TcpOptionsOfSyn() {
  return test::Concat({test::MssOption(1460),
                       {kTcpOptionSackPermitted, 2},
                       {kTcpOptionTimestamps, 10, 0, 0, 0, 1, 0, 0, 0, 0},
                       test::Nops(1),
                       {kTcpOptionWindowScale, 3, 7}});
}

test::Segment SegmentOf(bool is_ipv4, Bytes options = {}) {
  test::Segment segment;
  segment.source = is_ipv4 ? kClient4 : kClient6;
  segment.destination = is_ipv4 ? kVip4 : kVip6;
  segment.options = std::move(options);
  segment.payload = kPayload;
  return segment;
}
Bytes UdpOf(bool is_ipv4) {
  return test::UdpFrame({.source = is_ipv4 ? kClient4 : kClient6,
                         .destination = is_ipv4 ? kVip4 : kVip6,
                         .payload = kPayload});
}

// One each, of eight bytes, padding only.
test::IpFields TwoIpv6Extensions() {
  test::IpFields fields;
  fields.first_extension = kIpv6HopByHop;
  fields.extensions = {kIpv6DestinationOptions, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0};
  return fields;
}
test::IpFields Ipv4Options() {
  test::IpFields fields;
  fields.options = test::Nops(8);
  return fields;
}
Bytes FirstFragment(const Bytes& frame) {
  return test::Fragment(frame, 0, 40, true);
}

void Parse(benchmark::State& state, const Bytes& frame, PacketClass expected) {
  std::vector<std::unique_ptr<test::ExactBuffer>> frames;
  for (uint32_t i = 0; i < kBurst; ++i)
    frames.push_back(std::make_unique<test::ExactBuffer>(frame));
  std::vector<ParsedPacket> parsed(kBurst);
  std::vector<uint8_t> copies(kBurst * kHeaderBytes);
  std::vector<double> parse_ns, copy_ns;
  for (auto _ : state) {
    const double seconds = bench::SecondsOf([&] {
      for (uint32_t burst = 0; burst < kBursts; ++burst) {
        for (uint32_t i = 0; i < kBurst; ++i)
          ParsePacket(frames[i]->packet(), test::kPortMac[0], PacketOrigin::kWire, parsed[i]);
        benchmark::ClobberMemory();
      }
    });
    const double copy_seconds = bench::SecondsOf([&] {
      for (uint32_t burst = 0; burst < kBursts; ++burst) {
        for (uint32_t i = 0; i < kBurst; ++i)
          std::memcpy(&copies[i * kHeaderBytes], frames[i]->packet().data, kHeaderBytes);
        benchmark::ClobberMemory();
      }
    });
    state.SetIterationTime(seconds);
    parse_ns.push_back(seconds * 1e9 / kPackets);
    copy_ns.push_back(copy_seconds * 1e9 / kPackets);
  }
  for (const ParsedPacket& packet : parsed)
    if (packet.packet_class != expected) std::abort();
  state.counters["ns_per_packet"] = bench::Median(parse_ns);
  state.counters["ns_per_copy"] = bench::Median(copy_ns);
  state.counters["ratio"] = bench::Median(parse_ns) / bench::Median(copy_ns);
}

void Register(const char* name, const Bytes& frame, PacketClass expected = PacketClass::kFlow) {
  benchmark::RegisterBenchmark(name,
                               [=](benchmark::State& state) { Parse(state, frame, expected); })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void RegisterAll() {
  const Bytes timestamps = test::Concat({test::Nops(2), test::TimestampsOption(1, 2)});
  const Bytes sack =
      test::Concat({timestamps, test::Nops(2), test::SackOption({{1000, 2000}, {3000, 4000}})});
  Register("tcp_ipv4", test::TcpFrame(SegmentOf(true)));
  Register("tcp_ipv4_timestamps", test::TcpFrame(SegmentOf(true, timestamps)));
  Register("tcp_ipv4_timestamps_and_sack", test::TcpFrame(SegmentOf(true, sack)));
  Register("tcp_ipv4_options_of_syn", test::TcpFrame(SegmentOf(true, TcpOptionsOfSyn())));
  Register("tcp_ipv4_header_options", test::TcpFrame(SegmentOf(true), Ipv4Options()));
  Register("udp_ipv4", UdpOf(true));
  Register("udp_ipv4_fragment", FirstFragment(UdpOf(true)), PacketClass::kFragment);
  Register("tcp_ipv6", test::TcpFrame(SegmentOf(false)));
  Register("tcp_ipv6_timestamps", test::TcpFrame(SegmentOf(false, timestamps)));
  Register("tcp_ipv6_two_extension_headers", test::TcpFrame(SegmentOf(false), TwoIpv6Extensions()));
  Register("udp_ipv6", UdpOf(false));
  Register("udp_ipv6_fragment", FirstFragment(UdpOf(false)), PacketClass::kFragment);
}

}  // namespace
}  // namespace steelyard::net

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  steelyard::net::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
