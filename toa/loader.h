// SPDX-License-Identifier: Apache-2.0
//
// Loads the eBPF programs of steelyard_toa.bpf.c and attaches them to a cgroup. What is attached is
// held by links that belong to this process: it ends with the Attachment, and with the process
// however that ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/result.h"

struct steelyard_toa_bpf;

namespace steelyard::toa {

class Attachment {
 public:
  // `cgroup_path` is a directory of a cgroup v2 hierarchy. Needs CAP_BPF and CAP_NET_ADMIN. On an
  // error nothing stays attached. Any thread, one at a time: libbpf's log is the process's.
  static net::Result<Attachment> Attach(const std::string& cgroup_path,
                                        const std::vector<net::Prefix>& local_addresses,
                                        uint8_t kind);

 private:
  struct Destroy {
    void operator()(steelyard_toa_bpf* skeleton) const;
  };
  using Skeleton = std::unique_ptr<steelyard_toa_bpf, Destroy>;

  explicit Attachment(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}

  Skeleton skeleton_;
};

}  // namespace steelyard::toa
