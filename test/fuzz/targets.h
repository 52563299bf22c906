// SPDX-License-Identifier: Apache-2.0
//
// What is fuzzed: functions over any bytes that abort when a law is broken. libFuzzer drives them
// in fuzz_*.cc, and mutation_test.cc over the corpus and random mutations of it, without clang.
//
// To add one: a function here, a fuzz_ file, a folder in corpus/, a row in mutation_test.cc and one
// in meson.build.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace steelyard::test {

// One frame.
void FuzzParsePacket(std::span<const uint8_t> bytes);

// A stream of frames to a box with services, sessions and passing time. Each is
//   one byte      bit 0: port; bit 1: repair (MAC, IPv4 checksum, IPv6 length); bit 2: ends the
//                 burst; bit 3: time passes, and expired sessions end; bit 4: a reply: addresses
//                 and ports are those of the last frame that was forwarded, turned round; bit 5: a
//                 new snapshot
//   two bytes     length, big endian
//   length bytes  the frame
void FuzzPipeline(std::span<const uint8_t> bytes);

// Where there is no corpus yet: the frames of test/packet, in the form that each target reads.
std::vector<std::vector<uint8_t>> ParsePacketSeeds();
std::vector<std::vector<uint8_t>> PipelineSeeds();

}  // namespace steelyard::test
