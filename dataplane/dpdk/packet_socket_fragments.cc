// SPDX-License-Identifier: Apache-2.0
//
// Keeps DPDK's af_packet driver from asking the kernel to reassemble IPv4 fragments.
//
// The driver (drivers/net/af_packet, every release up to 22.11 at least) joins its sockets to a
// fanout group with PACKET_FANOUT_FLAG_DEFRAG and offers no way to refuse. What the wire brought as
// fragments then arrives as one frame beyond the MTU, cut to the ring's slot: a large ping is lost,
// and no other driver behaves so. A group's flags cannot be changed afterwards (packet(7)), so the
// flag is taken out on the way: the driver is a shared object, and this definition comes before
// libc's.
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int kFlagsShift = 16;  // PACKET_FANOUT: group id below, type and flags above

bool JoinsFanoutGroup(int level, int option, const void* value, socklen_t length) {
  return level == SOL_PACKET && option == PACKET_FANOUT && value != nullptr &&
         length == sizeof(int);
}

}  // namespace

extern "C" int setsockopt(int socket, int level, int option, const void* value,
                          socklen_t length) noexcept {
  int fanout;
  if (JoinsFanoutGroup(level, option, value, length)) {
    fanout = *static_cast<const int*>(value) & ~(PACKET_FANOUT_FLAG_DEFRAG << kFlagsShift);
    value = &fanout;
  }
  return static_cast<int>(syscall(SYS_setsockopt, socket, level, option, value, length));
}
