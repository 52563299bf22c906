// SPDX-License-Identifier: Apache-2.0
//
// Every strange frame that we can think of, with what must become of it. Read by parser_test (what
// the parser says), by test/packet (what the pipeline does) and by test/fuzz (as seeds). To add
// one: one row in strange_frames.cc.
#pragma once

#include <string>
#include <vector>

#include "net/parser.h"
#include "packet/packet_builder.h"

namespace steelyard::test {

struct StrangeFrame {
  std::string name;
  Bytes frame;
  net::PacketClass packet_class;
  // kMalformed: the reason. Otherwise: what a pipeline with a service at kVip4 and kVip6, port 80,
  // TCP and UDP, and no session gives it.
  net::Verdict verdict;
};

inline const net::Endpoint kVip4 = Host("10.0.1.10", 80);
inline const net::Endpoint kVip6 = Host("fd00:1::10", 80);
inline const net::Endpoint kClient4 = Host("198.51.100.7", 40000);
inline const net::Endpoint kClient6 = Host("2001:db8:7::7", 40000);

std::vector<StrangeFrame> StrangeFrames();

// Well-formed ones of every kind that the parser tells apart.
std::vector<Bytes> OrdinaryFrames();

}  // namespace steelyard::test
