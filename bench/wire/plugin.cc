// SPDX-License-Identifier: Apache-2.0
//
// The generator as a shared object for EAL's -d, in any DPDK program: it makes of the first two
// ports, net_null with no-rx=1, the clients' and the backends' end of a wire, by callbacks of
// ethdev on what the program receives and sends. One queue a port, one core for both.
//
// The environment's STEELYARD_WIRE names a file. When that file exists and both ports run, it is
// read (wire_config.h) and the generator begins; when it is gone, the generator stops. Figures are
// written as JSON to the file `results` a hundred times a second, whole each time.
#include <rte_config.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "generator.h"
#include "host_program.h"
#include "poll_gaps.h"

namespace steelyard::wire {
namespace {

constexpr uint16_t kMostAtOnce = 64;

struct Moment {
  uint64_t time_ns = 0, cpu_ns = 0, ticks = 0;
};

// All there is while the generator runs; it is never taken down, as callbacks may be running in it.
struct Wire {
  WireConfig config;
  std::atomic<Phase> phase{Phase::kWaiting};
  rte_mempool* pool = nullptr;
  std::unique_ptr<ClientSide> clients;
  std::unique_ptr<BackendSide> backends;
  std::unique_ptr<PollGaps> gaps;  // of the clients' port
  core::Counter ticks;             // of the processor's clock spent in here
  core::Counter missing_buffers;   // packets that there was none for
  std::atomic<uint64_t> lost{0};   // of the data, when the clients' port was last polled
  std::atomic<bool> ended{false};  // that port was polled after the end
  PollingThread poller;
  Moment set_up;  // when every flow was; not before phase kData
};

// Packets that a side may send now; `far` is the other one.
uint16_t Allowance(const Wire& wire, const SideCounters& side, const SideCounters& far,
                   uint16_t room) {
  const uint16_t most = std::min(room, kMostAtOnce);
  if (wire.config.window == 0 || wire.phase.load(std::memory_order_relaxed) != Phase::kData)
    return most;
  // What was sent twice while flows were opened may come now: then it is less than none.
  const auto on_their_way = static_cast<int64_t>(side.sent.value() - far.received.value());
  const int64_t left = int64_t{wire.config.window} - std::max<int64_t>(on_their_way, 0);
  return static_cast<uint16_t>(std::clamp<int64_t>(left, 0, most));
}

template <typename Side, typename FarSide>
uint16_t Receive(Wire& wire, Side& side, const FarSide& far, uint16_t port, rte_mbuf** packets,
                 uint16_t room) {
  if (wire.phase.load(std::memory_order_relaxed) == Phase::kWaiting) return 0;
  const uint64_t started = rte_rdtsc();
  const uint16_t count = Allowance(wire, side.counters(), far.counters(), room);
  if (count == 0) return 0;
  if (rte_pktmbuf_alloc_bulk(wire.pool, packets, count) != 0) {
    wire.missing_buffers.Add(count);
    return 0;
  }
  std::array<Buffer, kMostAtOnce> buffers;
  for (uint16_t i = 0; i < count; ++i) buffers[i] = {rte_pktmbuf_mtod(packets[i], uint8_t*), 0};
  const auto filled = static_cast<uint16_t>(side.Fill(std::span(buffers).first(count)));
  for (uint16_t i = 0; i < filled; ++i) {
    packets[i]->data_len = buffers[i].length;
    packets[i]->pkt_len = buffers[i].length;
    packets[i]->port = port;
  }
  if (filled < count) rte_pktmbuf_free_bulk(packets + filled, count - filled);
  wire.ticks.Add(rte_rdtsc() - started);
  return filled;
}

template <typename Side>
void Send(Wire& wire, Side& side, rte_mbuf** packets, uint16_t count) {
  const uint64_t started = rte_rdtsc();
  for (uint16_t done = 0; done < count;) {
    std::array<Buffer, kMostAtOnce> buffers;
    const auto at_once = static_cast<uint16_t>(std::min<int>(count - done, kMostAtOnce));
    for (uint16_t i = 0; i < at_once; ++i)
      buffers[i] = {rte_pktmbuf_mtod(packets[done + i], uint8_t*), packets[done + i]->data_len};
    side.Take(std::span<const Buffer>(buffers).first(at_once));
    done = static_cast<uint16_t>(done + at_once);
  }
  wire.ticks.Add(rte_rdtsc() - started);
}

Moment Now(const Wire& wire) {
  return {NanosecondsOf(CLOCK_MONOTONIC), wire.poller.cpu_ns(), wire.ticks.value()};
}

void EndSetUp(Wire& wire) {
  if (wire.phase.load(std::memory_order_relaxed) != Phase::kSetUp) return;
  if (wire.clients->established() != wire.config.flows) return;
  wire.set_up = Now(wire);
  wire.phase.store(Phase::kData);
}

// At a poll of the clients' port nothing is under way: the program passes on all that it has
// received before it polls again.
void TakeStock(Wire& wire) {
  const SideCounters& clients = wire.clients->counters();
  const SideCounters& backends = wire.backends->counters();
  wire.lost.store(clients.sent.value() + backends.sent.value() - clients.received.value() -
                      backends.received.value(),
                  std::memory_order_relaxed);
  if (wire.phase.load(std::memory_order_relaxed) == Phase::kDone) wire.ended.store(true);
}

uint16_t ReceiveOfClients(uint16_t port, uint16_t, rte_mbuf** packets, uint16_t, uint16_t room,
                          void* wire_pointer) {
  Wire& wire = *static_cast<Wire*>(wire_pointer);
  if (IsMainThread()) [[unlikely]]
    return 0;
  if (!wire.poller.is_known()) [[unlikely]]
    wire.poller.NoteSelf();
  wire.gaps->Poll(rte_rdtsc());
  TakeStock(wire);
  EndSetUp(wire);
  return Receive(wire, *wire.clients, *wire.backends, port, packets, room);
}

uint16_t ReceiveOfBackends(uint16_t port, uint16_t, rte_mbuf** packets, uint16_t, uint16_t room,
                           void* wire_pointer) {
  Wire& wire = *static_cast<Wire*>(wire_pointer);
  return Receive(wire, *wire.backends, *wire.clients, port, packets, room);
}

uint16_t SendToClients(uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, void* wire_pointer) {
  Wire& wire = *static_cast<Wire*>(wire_pointer);
  Send(wire, *wire.clients, packets, count);
  return count;
}

uint16_t SendToBackends(uint16_t, uint16_t, rte_mbuf** packets, uint16_t count,
                        void* wire_pointer) {
  Wire& wire = *static_cast<Wire*>(wire_pointer);
  Send(wire, *wire.backends, packets, count);
  return count;
}

uint64_t TicksToNs(uint64_t ticks) {
  return static_cast<uint64_t>(static_cast<double>(ticks) * 1e9 /
                               static_cast<double>(rte_get_tsc_hz()));
}

const char* NameOf(Phase phase) {
  constexpr std::array kNames = {"waiting", "set_up", "data", "done"};
  return kNames[static_cast<size_t>(phase)];
}

std::string ToJson(const SideCounters& counters) {
  std::ostringstream text;
  text << "{\"sent\": " << counters.sent.value() << ", \"received\": " << counters.received.value()
       << ", \"wrong_addresses\": " << counters.wrong_addresses.value()
       << ", \"wrong_checksums\": " << counters.wrong_checksums.value()
       << ", \"strangers\": " << counters.strangers.value()
       << ", \"lost_answers\": " << counters.lost_answers.value() << "}";
  return text.str();
}

std::string ToJson(const Moment& moment) {
  return "\"time_ns\": " + std::to_string(moment.time_ns) +
         ", \"cpu_ns\": " + std::to_string(moment.cpu_ns) +
         ", \"generator_ns\": " + std::to_string(TicksToNs(moment.ticks));
}

// Pairs of a gap, its longest where several are counted as one, and how often it was.
std::string ToJson(const LogHistogram& gaps) {
  std::string pairs;
  gaps.ForEach([&](uint64_t ticks, uint64_t count) {
    pairs += (pairs.empty() ? "[" : ", [") + std::to_string(TicksToNs(ticks)) + ", " +
             std::to_string(count) + "]";
  });
  return "[" + pairs + "]";
}

std::string ToJson(const PollGaps& gaps) {
  return "{\"clock_ns\": " + ToJson(gaps.by_clock()) +
         ", \"processor_ns\": " + ToJson(gaps.by_processor()) + "}";
}

class Conductor {
 public:
  explicit Conductor(std::string config_name) : config_name_(std::move(config_name)) {}

  void Run() {
    AwaitConfig();
    if (!Begin()) return;
    while (!wire_.poller.is_known()) std::this_thread::sleep_for(kPeriod);
    started_ = Now(wire_);
    wire_.phase.store(wire_.config.set_up ? Phase::kSetUp : Phase::kData);
    while (true) {
      Step();
      if (!wire_.config.learnt.empty()) TellLearnt();
      // What is on its way outside of the program, too, comes back before the end is told.
      std::this_thread::sleep_for(kPeriod);
      Report();
    }
  }

 private:
  void AwaitConfig() const {
    while (access(config_name_.c_str(), R_OK) != 0 || !BothPortsRun())
      std::this_thread::sleep_for(kPeriod);
    MoveToMainCore();
  }

  bool Refuse(const std::string& why) const {
    std::fprintf(stderr, "wire: %s: %s\n", config_name_.c_str(), why.c_str());
    return false;
  }

  static net::MacAddress MacOf(uint16_t port) {
    rte_ether_addr address{};
    rte_eth_macaddr_get(port, &address);
    net::MacAddress mac;
    std::copy_n(address.addr_bytes, mac.bytes.size(), mac.bytes.begin());
    return mac;
  }

  // The program has made one for its ports; net_null tells nobody which.
  static void TakeLargestPool(rte_mempool* pool, void* largest) {
    auto*& best = *static_cast<rte_mempool**>(largest);
    if (pool->private_data_size >= sizeof(rte_pktmbuf_pool_private) &&
        (best == nullptr || pool->size > best->size))
      best = pool;
  }

  bool Begin() {
    std::ostringstream text;
    text << std::ifstream(config_name_).rdbuf();
    const net::Result<WireConfig> config = ParseWireConfig(text.str());
    if (!config) return Refuse(config.error().message);
    wire_.config = *config;
    for (const uint16_t port : {kClientPort, kBackendPort}) {
      rte_eth_dev_info device;
      if (rte_eth_dev_info_get(port, &device) != 0 || device.nb_rx_queues != 1)
        return Refuse("each port must have one queue");
    }
    rte_mempool_walk(TakeLargestPool, &wire_.pool);
    if (wire_.pool == nullptr) return Refuse("the program has no packet buffers");
    auto* const replies = static_cast<Reply*>(
        rte_zmalloc("wire", wire_.config.flows * sizeof(Reply), RTE_CACHE_LINE_SIZE));
    if (replies == nullptr) return Refuse("no memory for so many flows");
    wire_.clients = std::make_unique<ClientSide>(wire_.config, MacOf(kClientPort), wire_.phase);
    wire_.backends = std::make_unique<BackendSide>(wire_.config, MacOf(kBackendPort), wire_.phase,
                                                   std::span(replies, wire_.config.flows));
    wire_.gaps = std::make_unique<PollGaps>(rte_get_tsc_hz());
    return Connect() || Refuse("this DPDK has no callbacks");
  }

  bool Connect() {
    return rte_eth_add_tx_callback(kClientPort, kQueue, SendToClients, &wire_) != nullptr &&
           rte_eth_add_tx_callback(kBackendPort, kQueue, SendToBackends, &wire_) != nullptr &&
           rte_eth_add_rx_callback(kBackendPort, kQueue, ReceiveOfBackends, &wire_) != nullptr &&
           rte_eth_add_rx_callback(kClientPort, kQueue, ReceiveOfClients, &wire_) != nullptr;
  }

  void Step() {
    if (access(config_name_.c_str(), F_OK) != 0) wire_.phase.store(Phase::kDone);
    const uint64_t limit = wire_.config.data_packets;
    if (limit != 0 && wire_.clients->counters().sent.value() == limit &&
        wire_.backends->counters().sent.value() == limit)
      wire_.phase.store(Phase::kDone);
  }

  // Once: nothing is learnt any more after that.
  void TellLearnt() {
    if (wire_.phase.load() < Phase::kData) return;
    std::string flows;
    for (uint32_t flow = 0; flow < wire_.config.flows; ++flow) {
      const LearntFlow learnt = wire_.backends->Learnt(flow);
      flows.append(reinterpret_cast<const char*>(&learnt), sizeof learnt);
    }
    WriteWhole(wire_.config.learnt, flows);
    wire_.config.learnt.clear();
  }

  void Report() const {
    Phase phase = wire_.phase.load();
    if (phase == Phase::kDone && !wire_.ended.load()) phase = Phase::kData;
    const bool is_set_up = wire_.config.set_up && phase >= Phase::kData;
    const Moment set_up = is_set_up ? wire_.set_up : started_;
    std::ostringstream text;
    text << "{\"phase\": \"" << NameOf(phase) << "\", " << ToJson(Now(wire_))
         << ", \"flows\": " << wire_.config.flows
         << ", \"established\": " << wire_.clients->established()
         << ", \"retries\": " << wire_.clients->retries()
         << ", \"missing_buffers\": " << wire_.missing_buffers.value()
         << ", \"lost\": " << wire_.lost.load() << ", \"set_up\": {"
         << ToJson({set_up.time_ns - started_.time_ns, set_up.cpu_ns - started_.cpu_ns,
                    set_up.ticks - started_.ticks})
         << "}, \"clients\": " << ToJson(wire_.clients->counters())
         << ", \"backends\": " << ToJson(wire_.backends->counters())
         << ", \"poll_gaps\": " << ToJson(*wire_.gaps) << "}\n";
    WriteWhole(wire_.config.results, text.str());
  }

  const std::string config_name_;
  Wire wire_;
  Moment started_;
};

// Ends with the process: the program that loaded it knows nothing of it.
__attribute__((constructor)) void Load() {
  const char* const config_name = std::getenv("STEELYARD_WIRE");
  if (config_name == nullptr) {
    std::fputs("wire: STEELYARD_WIRE names no file, so there will be no packets\n", stderr);
    return;
  }
  auto* const conductor = new Conductor(config_name);
  std::thread([conductor] { conductor->Run(); }).detach();
}

}  // namespace
}  // namespace steelyard::wire
