// SPDX-License-Identifier: Apache-2.0
//
// Frames of the generator, written from templates and read back. All of a side are of one family
// and one protocol, and addresses differ in their last four bytes alone, so that a frame is a copy
// of its template with a few words set and the checksums moved by as much.
//
// The first four bytes of payload are the flow's number. Words named *_low are the last four bytes
// of an address as they lie in memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "net/address.h"
#include "net/checksum.h"

namespace steelyard::wire {

inline constexpr size_t kNumberBytes = 4;
inline constexpr size_t kMostFrameBytes = 1536;

uint32_t LowOf(const net::IpAddress& address);
net::IpAddress WithLow(net::IpAddress address, uint32_t low);
// The address that many places further.
net::IpAddress Following(const net::IpAddress& address, uint32_t places);

struct FrameFields {
  uint32_t source_low, destination_low;
  net::Be16 source_port, destination_port;
  net::Be32 sequence, acknowledgment;  // of TCP
  uint32_t number = 0;                 // the flow's, where there is payload
};

class FrameTemplate {
 public:
  struct Parts {
    net::MacAddress source_mac, destination_mac;
    net::IpAddress source, destination;  // but for their last four bytes
    net::L4Protocol protocol;
    uint8_t tcp_flags = 0;     // a SYN has an MSS option and no payload
    uint32_t frame_bytes = 0;  // with the frame check sequence; more if the headers need it
  };
  FrameTemplate() = default;
  explicit FrameTemplate(const Parts& parts);

  // Without the frame check sequence.
  uint16_t length() const { return length_; }

  // Room for kMostFrameBytes.
  void Write(uint8_t* frame, const FrameFields& fields) const;

 private:
  void WriteIp(const Parts& parts, size_t l4_bytes);
  void WriteL4(const Parts& parts, size_t l4_bytes);

  alignas(64) std::array<uint8_t, kMostFrameBytes> bytes_{};
  uint16_t length_ = 0;
  bool is_v4_ = true;
  bool is_tcp_ = true;
  bool has_payload_ = true;
  uint8_t source_low_at_ = 0, destination_low_at_ = 0, l4_at_ = 0, payload_at_ = 0;
  uint16_t ip_sum_ = 0, l4_sum_ = 0;  // of all that Write does not set
};

// A frame's place of everything, once it has been found to be of that family and protocol. It holds
// as long as the frame does.
struct FrameView {
  const uint8_t* ip;
  const uint8_t* l4;
  size_t ip_bytes, l4_bytes;
  net::Be16 source_port, destination_port;
  uint32_t source_low, destination_low;
  bool has_number;
  uint32_t number;  // if it has one
};

// What all frames have in common that arrive on a side.
struct FrameKind {
  net::Family family;
  net::L4Protocol protocol;
};

// False for any other frame, options in IPv4 headers and extension headers in IPv6 included.
bool ReadFrame(const uint8_t* frame, size_t length, const FrameKind& kind, FrameView& view);

// Of the whole frame, computed anew.
bool ChecksumsAreRight(const FrameView& view, const FrameKind& kind);

// Whether the addresses, but for their last four bytes, are these.
bool HasPrefixes(const FrameView& view, const net::IpAddress& source,
                 const net::IpAddress& destination);

}  // namespace steelyard::wire
