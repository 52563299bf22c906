// SPDX-License-Identifier: Apache-2.0
//
// The frame codec of the control socket: a 32-bit big-endian length, then that many bytes of one
// protobuf message. No thread of its own, no socket: bytes in, messages out. What comes in is hostile:
// a frame longer than kMaxFrameBytes is an error and the connection must be closed.
#pragma once

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/result.h"

namespace steelyard::proto {

inline constexpr size_t kFrameHeaderBytes = 4;
inline constexpr size_t kMaxFrameBytes = 256u << 20;

// Appends one frame to `out`. False, with `out` unchanged, when the message is over kMaxFrameBytes.
[[nodiscard]] bool AppendFrame(const google::protobuf::MessageLite& message, std::string& out);

// Collects bytes as a stream socket delivers them and hands out whole frames.
class FrameReader {
 public:
  void Append(std::string_view bytes) { buffer_.append(bytes); }

  enum class Next { kFrame, kNeedMore, kBroken };
  // kFrame: `message` holds the next one. kBroken: too long, or not a message of this type.
  Next Take(google::protobuf::MessageLite& message);

 private:
  std::string buffer_;
  size_t consumed_ = 0;
};

}  // namespace steelyard::proto
