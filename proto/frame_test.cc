// SPDX-License-Identifier: Apache-2.0
#include "proto/frame.h"

#include <gtest/gtest.h>

#include "dataplane.pb.h"

namespace steelyard::proto {
namespace {

std::string ThreeFrames() {
  std::string bytes;
  for (uint64_t id = 1; id <= 3; ++id) {
    v1::Request request;
    request.set_id(id);
    request.mutable_lookup()->mutable_source()->set_address(std::string(id * 100, 'x'));
    EXPECT_TRUE(AppendFrame(request, bytes));
  }
  return bytes;
}

TEST(Frame, RoundTripsHoweverTheStreamIsCut) {
  const std::string bytes = ThreeFrames();
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameReader reader;
    uint64_t expected_id = 1;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.Append(std::string_view(bytes).substr(at, piece));
      v1::Request request;
      while (reader.Take(request) == FrameReader::Next::kFrame) EXPECT_EQ(request.id(), expected_id++);
    }
    EXPECT_EQ(expected_id, 4u) << "pieces of " << piece;
  }
}

TEST(Frame, TooLongIsBroken) {
  FrameReader reader;
  reader.Append("\xff\xff\xff\xff");
  v1::Request request;
  EXPECT_EQ(reader.Take(request), FrameReader::Next::kBroken);
}

TEST(Frame, BytesThatAreNoMessageAreBroken) {
  FrameReader reader;
  reader.Append(std::string_view("\x00\x00\x00\x02\xff\xff", 6));
  v1::Request request;
  EXPECT_EQ(reader.Take(request), FrameReader::Next::kBroken);
}

}  // namespace
}  // namespace steelyard::proto
