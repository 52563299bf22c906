// SPDX-License-Identifier: Apache-2.0
//
// Keys of the maps that the loader fills and the eBPF program reads: longest-prefix-match tries of
// the load balancer's addresses, one a family. Plain C for both sides; the layout (prefix length,
// then the address in network byte order) is the kernel's, see BPF_MAP_TYPE_LPM_TRIE in bpf(2).
#pragma once

#include <linux/types.h>

enum { kToaLocalPrefixesMax = 4096 };  // of each family

struct ToaPrefixIpv4 {
  __u32 length;
  __u32 address;
};

struct ToaPrefixIpv6 {
  __u32 length;
  __u32 address[4];
};
