// SPDX-License-Identifier: Apache-2.0
#include "proto/frame.h"

#include "net/byte_order.h"

namespace steelyard::proto {

bool AppendFrame(const google::protobuf::MessageLite& message, std::string& out) {
  const size_t length = message.ByteSizeLong();
  if (length > kMaxFrameBytes) return false;
  const uint32_t header = net::Be32(static_cast<uint32_t>(length)).raw();
  out.append(reinterpret_cast<const char*>(&header), kFrameHeaderBytes);
  return message.AppendToString(&out);
}

FrameReader::Next FrameReader::Take(google::protobuf::MessageLite& message) {
  const std::string_view pending = std::string_view(buffer_).substr(consumed_);
  if (pending.size() < kFrameHeaderBytes) return Next::kNeedMore;
  uint32_t header;
  std::memcpy(&header, pending.data(), kFrameHeaderBytes);
  const size_t length = net::Be32::FromRaw(header).value();
  if (length > kMaxFrameBytes) return Next::kBroken;
  if (pending.size() < kFrameHeaderBytes + length) return Next::kNeedMore;
  if (!message.ParseFromArray(pending.data() + kFrameHeaderBytes, static_cast<int>(length)))
    return Next::kBroken;
  consumed_ += kFrameHeaderBytes + length;
  // Moving the rest forward at every frame would be quadratic in the frames of one read.
  if (consumed_ == buffer_.size() || consumed_ > (1u << 20)) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  return Next::kFrame;
}

}  // namespace steelyard::proto
