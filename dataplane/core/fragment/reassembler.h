// SPDX-License-Identifier: Apache-2.0
//
// Reassembler: puts datagrams together from their fragments (RFC 791 section 3.2, RFC 8200 section
// 4.5), in memory that is bounded in every way: so many datagrams at once, so many of one source,
// so long. Who is over a limit is the new datagram, which is refused; one that was begun is given
// up by time alone.
//
// A datagram's payload is written where it belongs as it comes, and a bit for every eight bytes of
// it tells what has come. Fragments that overlap spoil their datagram, in both families (RFC 5722):
// what it says would depend on the order of arrival, and what has inspected it before may have seen
// something else. Only a fragment that says again what was said before is not an overlap but a
// duplicate, made by the network, and goes unnoticed. A spoilt datagram stays until its time is up
// and swallows what belongs to it.
//
// The rebuilt datagram has the headers of the first fragment, no sign of having been in fragments,
// and the ECN codepoint that RFC 3168 section 5.3 asks for. It stands contiguous in its slot with
// room in front, as frames of ports do.
//
// All memory is the caller's, 64-byte aligned; nothing is allocated later. One worker's thread owns
// it. No call does more than copy one fragment, or end `budget` datagrams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/burst.h"
#include "core/key_hash.h"
#include "net/parser.h"

namespace steelyard::core {

struct ReassemblyLimits {
  uint32_t datagrams = 0;             // at once
  uint32_t datagrams_per_source = 0;  // of them, from one IPv4 address or IPv6 /64
};

class Reassembler {
 public:
  // Hosts wait 15 s (RFC 791) to 60 s (RFC 8200), and have fewer peers. Fragments of one datagram
  // leave back to back and arrive within milliseconds of each other; whoever lost one asks again
  // after seconds. The shorter this is, the more lost fragments a second the slots stand.
  static constexpr uint64_t kTimeoutNs = 2'000'000'000;
  // What a forwarding mode may put in front of a rebuilt datagram, at least.
  static constexpr uint32_t kHeadroom = 128;
  // Longer datagrams are refused. With all that a mode may add, every offset and length still fits
  // into 16 bits.
  static constexpr uint32_t kMaxFrameBytes = UINT16_MAX - kHeadroom;
  // Ethernet, IP and IPv6 extension headers in front of the fragment header.
  static constexpr uint32_t kMaxHeaderBytes = 256;

  static size_t RequiredBytes(const ReassemblyLimits& limits);

  Reassembler(std::span<std::byte> memory, const ReassemblyLimits& limits,
              const HashSecret& secret);

  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // `packet` is of class kFragment; it is read, and belongs to the caller afterwards as before.
  // kConsumed, or the drop that it is. `now_ns` never runs backwards.
  net::Verdict Add(const net::Packet& packet, const net::ParsedPacket& parsed, Steered steered,
                   uint64_t now_ns);

  // Complete datagrams that nobody has taken yet.
  bool HasComplete() const { return complete_.first != kNone; }
  // Makes `burst` one of complete datagrams, in the order in which they became so: count,
  // is_reassembled, packet, steered, largest_fragment; buffers are null. Of steering, only what
  // came as fragments that were home already is at an end. The packets stand in slots until
  // ReleaseTaken, which is called before the next TakeComplete.
  void TakeComplete(Burst& burst);
  void ReleaseTaken();

  // Gives up datagrams whose time has come, no more than `budget`. Returns how many of them waited
  // for a fragment in vain.
  uint32_t Expire(uint64_t now_ns, uint32_t budget);

  uint32_t size() const { return in_use_; }  // slots in use
  const ReassemblyLimits& limits() const { return limits_; }

 private:
  using Index = uint32_t;
  static constexpr Index kNone = UINT32_MAX;

  static constexpr uint32_t kUnitBytes = 8;
  static constexpr uint32_t kMaxUnits = (kMaxFrameBytes + kUnitBytes - 1) / kUnitBytes;
  static constexpr uint32_t kPayloadOffset = kHeadroom + kMaxHeaderBytes;  // in a slot's bytes

  struct alignas(64) Slot {
    uint64_t arrived[(kMaxUnits + 63) / 64];  // a bit a unit of the payload
    uint8_t bytes[kPayloadOffset + kMaxFrameBytes];
  };

  // What a slot's datagram is known to be.
  struct Datagram {
    // Of the fragments. The identification stands where ports would, and the protocol only with
    // IPv4: IPv6 does not tell datagrams apart by it.
    net::FlowKey key;
    uint64_t deadline_ns;
    uint32_t bucket;
    uint32_t source;         // index into source_counts_
    uint32_t payload_bytes;  // 0: the last fragment has not arrived
    uint32_t arrived_bytes;  // end of the farthest that has
    uint32_t arrived_units;
    uint16_t header_bytes;      // with Ethernet; 0: the first fragment has not arrived
    uint16_t largest_fragment;  // bytes of IP packet
    uint8_t ecn_seen;           // a bit a codepoint
    bool is_spoilt;
    Steered steered;  // as far as any fragment
    // Neighbours of the same bucket, and in the list that it is in (by age, complete, or free).
    Index next_of_bucket;
    Index previous, next;
  };

  struct List {
    Index first = kNone;
    Index last = kNone;
  };

  struct Fragment {
    net::FlowKey key;
    const net::Packet& packet;
    const uint8_t* payload;
    uint32_t offset;  // of the payload, in bytes
    uint32_t bytes;
    uint16_t header_bytes;  // in front of the payload, and of the fragment header with IPv6
    uint16_t packet_bytes;
    uint8_t ecn;
    bool is_last;

    uint32_t end() const { return offset + bytes; }
    uint32_t first_unit() const { return offset / kUnitBytes; }
    uint32_t end_unit() const { return (end() + kUnitBytes - 1) / kUnitBytes; }
  };

  struct Layout;
  static Layout LayoutFor(const ReassemblyLimits& limits);

  static Fragment Describe(const net::Packet& packet, const net::ParsedPacket& parsed);
  static bool IsPossible(const Fragment& fragment);

  Index Find(const net::FlowKey& key, uint32_t bucket) const;
  Index Begin(const net::FlowKey& key, uint32_t bucket, uint64_t now_ns);
  net::Verdict Place(Index index, const Fragment& fragment);
  bool Contradicts(const Datagram& datagram, const Fragment& fragment) const;
  bool IsDuplicate(Index index, const Fragment& fragment, uint32_t arrived_units) const;
  void CopyIn(Index index, const Fragment& fragment);
  bool IsComplete(const Datagram& datagram) const;
  // False: it cannot be rebuilt.
  bool Rebuild(Index index);
  void Forget(Index index);  // takes a datagram that is being put together out of every index

  uint32_t SourceOf(const net::FlowKey& key) const;
  uint32_t CountArrived(Index index, const Fragment& fragment) const;
  void MarkArrived(Index index, const Fragment& fragment);
  net::Packet PacketOf(Index index);

  void Append(List& list, Index index);
  void Remove(List& list, Index index);

  ReassemblyLimits limits_;
  HashSecret secret_;
  std::span<Slot> slots_;
  std::span<Datagram> datagrams_;      // by slot
  std::span<Index> buckets_;           // the first datagram of each
  std::span<uint32_t> source_counts_;  // datagrams being put together, by hash of the source
  List by_age_;
  List complete_;
  List taken_;
  List free_;
  uint32_t in_use_ = 0;
};

}  // namespace steelyard::core
