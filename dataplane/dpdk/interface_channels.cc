// SPDX-License-Identifier: Apache-2.0
//
// Lets DPDK's af_xdp driver use all queues of an interface that counts its receive and transmit
// queues apart.
//
// The driver (drivers/net/af_xdp, every release up to 22.11 at least) asks for the number of combined
// channels and takes none for one queue, whatever else the answer says: of a veth, which has receive
// and transmit channels, it would use the first pair only. The answer is completed on the way: the
// driver is a shared object, and this definition comes before libc's.
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>

extern "C" int ioctl(int descriptor, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto result = static_cast<int>(syscall(SYS_ioctl, descriptor, request, argument));
  if (result != 0 || request != SIOCETHTOOL || argument == nullptr) return result;
  auto* const channels =
      reinterpret_cast<ethtool_channels*>(static_cast<ifreq*>(argument)->ifr_data);
  if (channels == nullptr || channels->cmd != ETHTOOL_GCHANNELS || channels->max_combined != 0)
    return result;
  channels->max_combined = std::min(channels->max_rx, channels->max_tx);
  channels->combined_count = std::min(channels->rx_count, channels->tx_count);
  errno = 0;  // the driver looks at it after success too
  return result;
}
