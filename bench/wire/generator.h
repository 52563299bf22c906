// SPDX-License-Identifier: Apache-2.0
//
// The two ends of the wire: clients on one port, backends on the other. Each makes the packets that
// its port receives and takes the packets that its port is to send.
//
// First the clients open every flow (SYN, SYN-ACK, ACK with data, data; of UDP: a question and its
// answer), and the backends learn from what the box sends how to answer each. Then both send data
// of flows chosen at random, without waiting for each other: a packet of the box's is checked
// against what was sent and learnt, and counted. What is lost while flows are opened is sent again;
// after that, what is missing in `received` was lost.
//
// All of it belongs to the one thread that polls both ports; any thread may read counters.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "core/counter.h"
#include "frame.h"
#include "wire_config.h"

namespace steelyard::wire {

enum class Phase : uint32_t { kWaiting, kSetUp, kData, kDone };

// A packet's buffer: room for kMostFrameBytes, and what of it is filled.
struct Buffer {
  uint8_t* data;
  uint16_t length;
};

struct alignas(64) SideCounters {
  core::Counter sent;             // of data
  core::Counter received;         // of those the other side sent, and right
  core::Counter wrong_addresses;  // or ports
  core::Counter wrong_checksums;
  core::Counter strangers;  // neither of the family nor of the protocol, such as the kernel's ARP
  core::Counter lost_answers;  // for want of room in the queue of answers
};

// A flow's number makes its client's address and port.
struct ClientEndpoints {
  uint32_t first;  // address, as a number
  uint32_t LowOf(uint32_t flow) const { return net::Be32(first + (flow >> 15)).raw(); }
  static net::Be16 PortOf(uint32_t flow) {
    return net::Be16(static_cast<uint16_t>(1024 + (flow & 0x7fff)));
  }
};

// Where the backends answer a flow to, and which of them does.
struct Reply {
  uint32_t peer_low;
  net::Be16 peer_port;
  uint16_t server;
};
static_assert(sizeof(Reply) == 8);

// The two ends of a flow as each side of the box sees them: what traces of it are made from. All of
// it as on the wire.
struct LearntFlow {
  uint32_t client_low;
  net::Be16 client_port;
  net::Be16 peer_port;
  uint32_t peer_low;
  uint32_t server_low;
};
static_assert(sizeof(LearntFlow) == 16);

template <typename Item>
class AnswerQueue {
 public:
  bool Push(const Item& item) {
    if (head_ - tail_ == items_.size()) return false;
    items_[head_++ % items_.size()] = item;
    return true;
  }
  bool Pop(Item& item) {
    if (head_ == tail_) return false;
    item = items_[tail_++ % items_.size()];
    return true;
  }

 private:
  std::array<Item, 1024> items_;
  uint32_t head_ = 0, tail_ = 0;
};

class RandomFlow {
 public:
  RandomFlow(uint32_t flows, uint64_t seed) : flows_(flows), state_(seed) {}
  uint32_t Next() {  // xorshift64 (Marsaglia, "Xorshift RNGs", 2003)
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>((state_ >> 32) * flows_ >> 32);
  }

 private:
  const uint64_t flows_;
  uint64_t state_;
};

class ClientSide {
 public:
  // `box_mac` is the port's.
  ClientSide(const WireConfig& config, const net::MacAddress& box_mac,
             const std::atomic<Phase>& phase);
  // Writes up to that many packets; returns how many. Between two calls Take sees what came of
  // them.
  uint32_t Fill(std::span<Buffer> buffers);
  void Take(std::span<const Buffer> buffers);

  const SideCounters& counters() const { return counters_; }
  uint32_t established() const { return static_cast<uint32_t>(established_count_.value()); }
  uint64_t retries() const { return retries_.value(); }  // rounds beyond the first

 private:
  void Write(const FrameTemplate& frame, uint32_t flow, Buffer& buffer, bool is_syn = false);
  uint32_t Open(std::span<Buffer> buffers);
  uint32_t SendData(std::span<Buffer> buffers);
  bool IsOurs(const FrameView& view, uint32_t flow) const;
  void TakeSynAck(const FrameView& view);

  const WireConfig& config_;
  const std::atomic<Phase>& phase_;
  const FrameKind kind_;
  const ClientEndpoints endpoints_;
  const uint32_t vip_low_;
  FrameTemplate syn_, data_;
  RandomFlow random_;
  AnswerQueue<uint32_t> answers_;  // flows
  std::vector<uint8_t> is_established_;
  core::Counter established_count_, retries_;
  uint32_t next_ = 0;         // to be opened
  uint32_t idle_rounds_ = 0;  // since all were tried
  uint32_t check_in_ = 1;
  SideCounters counters_;
};

class BackendSide {
 public:
  // `replies` has one for each flow, and outlives this.
  BackendSide(const WireConfig& config, const net::MacAddress& box_mac,
              const std::atomic<Phase>& phase, std::span<Reply> replies);
  uint32_t Fill(std::span<Buffer> buffers);
  void Take(std::span<const Buffer> buffers);

  const SideCounters& counters() const { return counters_; }
  // Once it is set up.
  LearntFlow Learnt(uint32_t flow) const;

 private:
  struct Answer {
    Reply reply;
    net::Be32 acknowledgment;
    uint32_t number;
    bool is_syn_ack;
  };
  void Write(const FrameTemplate& frame, const Answer& answer, Buffer& buffer);
  uint32_t AnswerAll(std::span<Buffer> buffers);
  uint32_t SendData(std::span<Buffer> buffers);
  // False if the box should not have sent this.
  bool ReplyTo(const FrameView& view, Reply& reply) const;
  void TakeOpening(const FrameView& view, const Reply& reply);

  const WireConfig& config_;
  const std::atomic<Phase>& phase_;
  const FrameKind kind_;
  net::IpAddress peer_, server_;  // of the first
  uint32_t peer_first_, peer_count_, server_first_, server_count_;
  net::Be16 server_port_;
  ClientEndpoints endpoints_;
  FrameTemplate syn_ack_, data_;
  RandomFlow random_;
  AnswerQueue<Answer> answers_;
  std::span<Reply> replies_;
  uint32_t check_in_ = 1;
  SideCounters counters_;
};

}  // namespace steelyard::wire
