// SPDX-License-Identifier: Apache-2.0
#include "toa/loader.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "steelyard_toa.skel.h"
#include "toa/file_descriptor.h"
#include "toa/toa_maps.h"

namespace steelyard::toa {
namespace {

// libbpf tells the reason of a failure only in its log.
std::string libbpf_log;

int KeepLog(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[1024];
  std::vsnprintf(line, sizeof(line), format, arguments);
  libbpf_log += line;
  return 0;
}

net::Error SystemError(const std::string& what, int error) {
  if (error == EPERM || error == EACCES) {
    return net::Error{what + ": " + std::strerror(error) +
                      " (run as root, or with CAP_BPF and CAP_NET_ADMIN)"};
  }
  std::string message = what + ": " + std::strerror(error);
  if (!libbpf_log.empty()) message += "\n" + libbpf_log;
  return net::Error{message};
}

net::Result<FileDescriptor> OpenCgroup(const std::string& path) {
  FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) {
    return net::Error{"--cgroup " + path + ": " + std::strerror(errno)};
  }
  struct statfs file_system {};
  if (fstatfs(directory.get(), &file_system) != 0 ||
      static_cast<unsigned long>(file_system.f_type) != CGROUP2_SUPER_MAGIC) {
    return net::Error{"--cgroup " + path +
                      ": not a cgroup v2 directory (usually under /sys/fs/cgroup, or under "
                      "/sys/fs/cgroup/unified beside version 1)"};
  }
  return directory;
}

int AddLocalAddress(const steelyard_toa_bpf& skeleton, const net::Prefix& prefix) {
  const uint8_t present = 1;
  const auto length = static_cast<uint32_t>(prefix.length);
  if (prefix.address.is_v4()) {
    const ToaPrefixIpv4 key{.length = length, .address = prefix.address.v4().bits.raw()};
    return bpf_map__update_elem(skeleton.maps.toa_local_ipv4, &key, sizeof(key), &present,
                                sizeof(present), BPF_ANY);
  }
  ToaPrefixIpv6 key{.length = length, .address = {}};
  std::memcpy(key.address, prefix.address.v6().bytes.data(), sizeof(key.address));
  return bpf_map__update_elem(skeleton.maps.toa_local_ipv6, &key, sizeof(key), &present,
                              sizeof(present), BPF_ANY);
}

int AttachTo(const FileDescriptor& cgroup, const bpf_program* program, bpf_link*& link) {
  link = bpf_program__attach_cgroup(program, cgroup.get());
  return link == nullptr ? -errno : 0;
}

}  // namespace

void Attachment::Destroy::operator()(steelyard_toa_bpf* skeleton) const {
  steelyard_toa_bpf::destroy(skeleton);
}

net::Result<Attachment> Attachment::Attach(const std::string& cgroup_path,
                                           const std::vector<net::Prefix>& local_addresses,
                                           uint8_t kind) {
  const net::Result<FileDescriptor> cgroup = OpenCgroup(cgroup_path);
  if (!cgroup) return cgroup.error();

  libbpf_log.clear();
  libbpf_set_print(KeepLog);
  Skeleton skeleton(steelyard_toa_bpf::open());
  if (skeleton == nullptr) return SystemError("opening the eBPF object", errno);
  skeleton->rodata->toa_kind = kind;
  if (const int error = steelyard_toa_bpf::load(skeleton.get()); error != 0) {
    return SystemError("loading the eBPF programs", -error);
  }
  for (const net::Prefix& prefix : local_addresses) {
    if (const int error = AddLocalAddress(*skeleton, prefix); error != 0) {
      return SystemError("adding local address " + net::ToString(prefix), -error);
    }
  }
  // The reader comes last: an address that is kept can be shown from the first moment.
  int error = AttachTo(*cgroup, skeleton->progs.GetPeerName4, skeleton->links.GetPeerName4);
  if (error == 0) {
    error = AttachTo(*cgroup, skeleton->progs.GetPeerName6, skeleton->links.GetPeerName6);
  }
  if (error == 0) error = AttachTo(*cgroup, skeleton->progs.ReadToa, skeleton->links.ReadToa);
  if (error != 0) return SystemError("attaching to " + cgroup_path, -error);
  return Attachment(std::move(skeleton));
}

}  // namespace steelyard::toa
