// SPDX-License-Identifier: Apache-2.0
#include "generator.h"

#include <algorithm>

#include "net/wire.h"

namespace steelyard::wire {
namespace {

using net::Be32;

constexpr uint32_t kAtOnce = 64;  // packets
// What was not answered within as many polls is lost. Another process may have to wait for its core
// before it answers.
constexpr uint32_t kRoundsBeforeRetry = 1'000'000;

uint32_t NumberOf(const net::IpAddress& address) {
  return Be32::FromRaw(LowOf(address)).value();
}

const net::TcpHeader& TcpOf(const FrameView& view) {
  return *reinterpret_cast<const net::TcpHeader*>(view.l4);
}

bool IsSyn(const FrameView& view, const FrameKind& kind) {
  return kind.protocol == net::L4Protocol::kTcp && (TcpOf(view).flags & net::kTcpSyn) != 0;
}

// Every n-th time.
bool IsDue(uint32_t& in, uint32_t interval) {
  if (--in != 0) return false;
  in = interval;
  return true;
}

}  // namespace

ClientSide::ClientSide(const WireConfig& config, const net::MacAddress& box_mac,
                       const std::atomic<Phase>& phase)
    : config_(config),
      phase_(phase),
      kind_{config.client.family(), config.protocol},
      endpoints_{NumberOf(config.client)},
      vip_low_(LowOf(config.vip)),
      random_(config.flows, 0x9e3779b97f4a7c15),
      is_established_(config.flows) {
  FrameTemplate::Parts parts{.source_mac = config.client_mac,
                             .destination_mac = box_mac,
                             .source = config.client,
                             .destination = config.vip,
                             .protocol = config.protocol,
                             .tcp_flags = net::kTcpSyn,
                             .frame_bytes = config.frame_bytes};
  if (config.protocol == net::L4Protocol::kTcp) syn_ = FrameTemplate(parts);
  parts.tcp_flags = net::kTcpAck | net::kTcpPsh;
  data_ = FrameTemplate(parts);
}

void ClientSide::Write(const FrameTemplate& frame, uint32_t flow, Buffer& buffer, bool is_syn) {
  frame.Write(buffer.data, {.source_low = endpoints_.LowOf(flow),
                            .destination_low = vip_low_,
                            .source_port = ClientEndpoints::PortOf(flow),
                            .destination_port = config_.vip_port,
                            .sequence = Be32(is_syn ? flow : flow + 1),
                            .acknowledgment = Be32(is_syn ? 0 : 1),
                            .number = flow});
  buffer.length = frame.length();
}

uint32_t ClientSide::Fill(std::span<Buffer> buffers) {
  switch (phase_.load(std::memory_order_relaxed)) {
    case Phase::kSetUp:
      return Open(buffers);
    case Phase::kData:
      return SendData(buffers);
    default:
      return 0;
  }
}

uint32_t ClientSide::Open(std::span<Buffer> buffers) {
  uint32_t count = 0;
  for (uint32_t flow; count < buffers.size() && answers_.Pop(flow);)
    Write(data_, flow, buffers[count++]);
  const bool is_tcp = kind_.protocol == net::L4Protocol::kTcp;
  for (; count < buffers.size() && next_ < config_.flows; ++next_)
    if (is_established_[next_] == 0) Write(is_tcp ? syn_ : data_, next_, buffers[count++], is_tcp);
  if (next_ == config_.flows && established() < config_.flows &&
      ++idle_rounds_ == kRoundsBeforeRetry) {
    next_ = 0;
    idle_rounds_ = 0;
    retries_.Add(1);
  }
  return count;
}

uint32_t ClientSide::SendData(std::span<Buffer> buffers) {
  auto count = static_cast<uint32_t>(buffers.size());
  if (config_.data_packets != 0)
    count = static_cast<uint32_t>(
        std::min<uint64_t>(count, config_.data_packets - counters_.sent.value()));
  for (uint32_t i = 0; i < count; ++i) Write(data_, random_.Next(), buffers[i]);
  counters_.sent.Add(count);
  return count;
}

bool ClientSide::IsOurs(const FrameView& view, uint32_t flow) const {
  return flow < config_.flows && view.source_low == vip_low_ &&
         view.source_port == config_.vip_port && view.destination_low == endpoints_.LowOf(flow) &&
         view.destination_port == ClientEndpoints::PortOf(flow) &&
         HasPrefixes(view, config_.vip, config_.client);
}

void ClientSide::TakeSynAck(const FrameView& view) {
  const uint32_t flow = TcpOf(view).acknowledgment.value() - 1;
  if (!IsOurs(view, flow)) {
    counters_.wrong_addresses.Add(1);
  } else if (!ChecksumsAreRight(view, kind_)) {
    counters_.wrong_checksums.Add(1);
  } else if (!answers_.Push(flow)) {
    counters_.lost_answers.Add(1);
  }
}

void ClientSide::Take(std::span<const Buffer> buffers) {
  const bool is_set_up = phase_.load(std::memory_order_relaxed) == Phase::kSetUp;
  uint32_t received = 0;
  for (const Buffer& buffer : buffers) {
    FrameView view;
    if (!ReadFrame(buffer.data, buffer.length, kind_, view)) {
      counters_.strangers.Add(1);
    } else if (IsSyn(view, kind_)) {
      TakeSynAck(view);
    } else if (!view.has_number || !IsOurs(view, view.number)) {
      counters_.wrong_addresses.Add(1);
    } else if (IsDue(check_in_, is_set_up ? 1 : config_.checksum_interval) &&
               !ChecksumsAreRight(view, kind_)) {
      counters_.wrong_checksums.Add(1);
    } else if (!is_set_up) {
      ++received;
    } else if (is_established_[view.number] == 0) {
      is_established_[view.number] = 1;
      established_count_.Add(1);
    }
  }
  counters_.received.Add(received);
}

BackendSide::BackendSide(const WireConfig& config, const net::MacAddress& box_mac,
                         const std::atomic<Phase>& phase, std::span<Reply> replies)
    : config_(config),
      phase_(phase),
      kind_{config.box == Box::kFullNat ? config.backend.family() : config.vip.family(),
            config.protocol},
      endpoints_{NumberOf(config.client)},
      random_(config.flows, 0xd1b54a32d192ed03),
      replies_(replies) {
  const bool is_full_nat = config.box == Box::kFullNat;
  peer_ = is_full_nat ? config.local_address : config.client;
  server_ = is_full_nat ? config.backend : config.vip;
  peer_first_ = NumberOf(peer_);
  peer_count_ = is_full_nat ? config.local_addresses : (config.flows >> 15) + 1;
  server_first_ = NumberOf(server_);
  server_count_ = is_full_nat ? config.backends : 1;
  server_port_ = is_full_nat ? config.backend_port : config.vip_port;
  const bool is_swapped = config.box == Box::kSwap;
  FrameTemplate::Parts parts{.source_mac = config.backend_mac,
                             .destination_mac = box_mac,
                             .source = is_swapped ? peer_ : server_,
                             .destination = is_swapped ? server_ : peer_,
                             .protocol = config.protocol,
                             .tcp_flags = net::kTcpSyn | net::kTcpAck,
                             .frame_bytes = config.frame_bytes};
  if (config.protocol == net::L4Protocol::kTcp) syn_ack_ = FrameTemplate(parts);
  parts.tcp_flags = net::kTcpAck | net::kTcpPsh;
  data_ = FrameTemplate(parts);
  if (config.set_up) return;
  for (uint32_t flow = 0; flow < config.flows; ++flow)
    replies_[flow] = {endpoints_.LowOf(flow), ClientEndpoints::PortOf(flow), 0};
}

LearntFlow BackendSide::Learnt(uint32_t flow) const {
  const Reply& reply = replies_[flow];
  return {.client_low = endpoints_.LowOf(flow),
          .client_port = ClientEndpoints::PortOf(flow),
          .peer_port = reply.peer_port,
          .peer_low = reply.peer_low,
          .server_low = Be32(server_first_ + reply.server).raw()};
}

void BackendSide::Write(const FrameTemplate& frame, const Answer& answer, Buffer& buffer) {
  FrameFields fields{.source_low = Be32(server_first_ + answer.reply.server).raw(),
                     .destination_low = answer.reply.peer_low,
                     .source_port = server_port_,
                     .destination_port = answer.reply.peer_port,
                     .sequence = Be32(answer.is_syn_ack ? 0 : 1),
                     .acknowledgment = answer.acknowledgment,
                     .number = answer.number};
  if (config_.box == Box::kSwap) {
    std::swap(fields.source_low, fields.destination_low);
    std::swap(fields.source_port, fields.destination_port);
  }
  frame.Write(buffer.data, fields);
  buffer.length = frame.length();
}

uint32_t BackendSide::Fill(std::span<Buffer> buffers) {
  switch (phase_.load(std::memory_order_relaxed)) {
    case Phase::kSetUp:
      return AnswerAll(buffers);
    case Phase::kData:
      return SendData(buffers);
    default:
      return 0;
  }
}

uint32_t BackendSide::AnswerAll(std::span<Buffer> buffers) {
  uint32_t count = 0;
  for (Answer answer; count < buffers.size() && answers_.Pop(answer); ++count)
    Write(answer.is_syn_ack ? syn_ack_ : data_, answer, buffers[count]);
  return count;
}

// The acknowledgment of data is the same all the time: nobody between the ends looks at it.
uint32_t BackendSide::SendData(std::span<Buffer> buffers) {
  auto count = static_cast<uint32_t>(std::min<size_t>(buffers.size(), kAtOnce));
  if (config_.data_packets != 0)
    count = static_cast<uint32_t>(
        std::min<uint64_t>(count, config_.data_packets - counters_.sent.value()));
  std::array<uint32_t, kAtOnce> flows;
  for (uint32_t i = 0; i < count; ++i) {
    flows[i] = random_.Next();
    __builtin_prefetch(&replies_[flows[i]]);
  }
  for (uint32_t i = 0; i < count; ++i)
    Write(data_,
          {.reply = replies_[flows[i]],
           .acknowledgment = Be32(1),
           .number = flows[i],
           .is_syn_ack = false},
          buffers[i]);
  counters_.sent.Add(count);
  return count;
}

bool BackendSide::ReplyTo(const FrameView& view, Reply& reply) const {
  const bool is_swapped = config_.box == Box::kSwap;
  if (!HasPrefixes(view, is_swapped ? server_ : peer_, is_swapped ? peer_ : server_)) return false;
  const uint32_t server_low = is_swapped ? view.source_low : view.destination_low;
  const uint32_t server = Be32::FromRaw(server_low).value() - server_first_;
  reply.peer_low = is_swapped ? view.destination_low : view.source_low;
  reply.peer_port = is_swapped ? view.destination_port : view.source_port;
  reply.server = static_cast<uint16_t>(server);
  return server < server_count_ &&
         (is_swapped ? view.source_port : view.destination_port) == server_port_ &&
         Be32::FromRaw(reply.peer_low).value() - peer_first_ < peer_count_;
}

void BackendSide::TakeOpening(const FrameView& view, const Reply& reply) {
  Answer answer{
      .reply = reply, .acknowledgment = {}, .number = 0, .is_syn_ack = IsSyn(view, kind_)};
  if (kind_.protocol == net::L4Protocol::kTcp)
    answer.acknowledgment = Be32(TcpOf(view).sequence.value() + 1);
  if (!answer.is_syn_ack) {
    answer.number = view.number;
    replies_[view.number] = reply;
  }
  if (!answers_.Push(answer)) counters_.lost_answers.Add(1);
}

void BackendSide::Take(std::span<const Buffer> all) {
  const bool is_set_up = phase_.load(std::memory_order_relaxed) == Phase::kSetUp;
  for (std::span<const Buffer> rest = all; !rest.empty();) {
    const std::span<const Buffer> buffers = rest.first(std::min<size_t>(rest.size(), kAtOnce));
    rest = rest.subspan(buffers.size());
    std::array<FrameView, kAtOnce> views;
    std::array<bool, kAtOnce> is_read;
    for (size_t i = 0; i < buffers.size(); ++i) {
      FrameView& view = views[i];
      is_read[i] = ReadFrame(buffers[i].data, buffers[i].length, kind_, view);
      if (is_read[i] && view.has_number && view.number < config_.flows)
        __builtin_prefetch(&replies_[view.number]);
    }
    uint32_t received = 0;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const FrameView& view = views[i];
      Reply reply;
      if (!is_read[i]) {
        counters_.strangers.Add(1);
      } else if (!ReplyTo(view, reply) ||
                 (!IsSyn(view, kind_) && (!view.has_number || view.number >= config_.flows))) {
        counters_.wrong_addresses.Add(1);
      } else if (IsDue(check_in_, is_set_up ? 1 : config_.checksum_interval) &&
                 !ChecksumsAreRight(view, kind_)) {
        counters_.wrong_checksums.Add(1);
      } else if (is_set_up) {
        TakeOpening(view, reply);
      } else if (const Reply& learnt = replies_[view.number]; learnt.peer_low != reply.peer_low ||
                                                              learnt.peer_port != reply.peer_port ||
                                                              learnt.server != reply.server) {
        counters_.wrong_addresses.Add(1);
      } else {
        ++received;
      }
    }
    counters_.received.Add(received);
  }
}

}  // namespace steelyard::wire
