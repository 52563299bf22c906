// SPDX-License-Identifier: Apache-2.0
//
// Dataplane: what the running process consists of, as the control server sees it: no driver types,
// no protobuf. Built once by main before the workers start; everything in it lives until they have
// stopped. The main thread reads it; what a worker owns is marked and reached through that worker's
// mailbox only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/burst.h"
#include "core/session_table.h"
#include "core/worker_state.h"
#include "net/address.h"
#include "worker/snapshot_publisher.h"
#include "worker/worker_mailbox.h"

namespace steelyard::worker {

struct PortStats {
  uint64_t received_packets = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_packets = 0;
  uint64_t sent_bytes = 0;
  uint64_t receive_missed_packets = 0;  // the port had no room for them: the worker was late
  uint64_t receive_errors = 0;          // refused by the driver, or by us for not being contiguous
  uint64_t send_errors = 0;
  uint64_t kernel_refused_packets = 0;  // punted, and not accepted by the twin: it is down or gone
};

struct PortInfo {
  core::PortId id = 0;  // position in the order of --port
  std::string name;     // as DPDK names the device
  std::string driver;
  std::string kernel_interface;  // the twin
  net::MacAddress mac;           // the port's and the twin's
  uint32_t mtu = 0;              // bytes of IP packet
  // Whether queue i receives the TCP and UDP packets of worker i's flows, and no other worker's.
  bool steers_in_hardware = false;
  std::string steering_reason;  // why it does not: a clause; empty if it does
};

// Main thread only.
class Port {
 public:
  virtual ~Port() = default;
  virtual const PortInfo& info() const = 0;
  virtual bool IsLinkUp() const = 0;
  virtual PortStats ReadStats() const = 0;
};

struct Worker {
  uint32_t index = 0;
  uint32_t core = 0;  // CPU number
  WorkerMailbox* mailbox = nullptr;
  // Its counters and its missing neighbours are for the main thread to read, the rest is the
  // worker's.
  core::WorkerState* state = nullptr;
  // The worker's: but for its capacity, inside a Task only.
  core::SessionTable* sessions = nullptr;
};

struct Dataplane {
  std::vector<Port*> ports;  // by id
  std::vector<Worker> workers;
  SnapshotPublisher* snapshots = nullptr;
};

}  // namespace steelyard::worker
