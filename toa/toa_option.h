// SPDX-License-Identifier: Apache-2.0
//
// TOA, the TCP option in which a full-NAT load balancer tells a backend who the client is: one byte
// kind, one byte length, the client's port and its address, both in network byte order. Length 8
// carries an IPv4 address, length 20 an IPv6 one; an option of another length is not ours and is
// stepped over. Option list: RFC 9293 section 3.1.
//
// Shared by the eBPF program and its unit test, hence plain C, no library and no memory but what is
// passed in. Bytes are hostile: nothing past `length` decides anything.
#pragma once

#include <linux/types.h>
#include <stdbool.h>

enum {
  kToaOptionsMax = 40,  // what the TCP header's data offset leaves for options
  kToaIpv4Length = 8,
  kToaIpv6Length = 20,
};

// The value of the eBPF program's socket storage.
struct ToaClient {
  __u16 port;     // network byte order
  __u8 is_known;  // 0: the connection comes from the load balancer, its option has not been seen
  __u8 zero;
  __u32 address[4];  // network byte order; an IPv4 address as ::ffff:a.b.c.d
};

#ifdef __bpf__
// Old verifiers take stack reads at constant offsets only, so there every offset must be one.
#define TOA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TOA_UNROLL
#endif

static inline bool ToaIsIpv4(const struct ToaClient* client) {
  return client->address[0] == 0 && client->address[1] == 0 &&
         client->address[2] == __builtin_bswap32(0xffff);
}

static inline __attribute__((always_inline)) void ToaRead(const __u8* option, __u8 length,
                                                          struct ToaClient* client) {
  __builtin_memcpy(&client->port, option + 2, sizeof(client->port));
  client->is_known = 1;
  client->zero = 0;
  if (length == kToaIpv6Length) {
    __builtin_memcpy(client->address, option + 4, 16);
    return;
  }
  client->address[0] = client->address[1] = 0;
  client->address[2] = __builtin_bswap32(0xffff);
  __builtin_memcpy(&client->address[3], option + 4, 4);
}

// Finds the first well-formed option of this kind. `options` has room for kToaOptionsMax bytes, of
// which `length` came from the wire. False, with `client` untouched, when there is none before the
// end of the list or before the first option that breaks the list.
static inline __attribute__((always_inline)) bool ToaFind(const __u8* options, __u32 length,
                                                          __u8 kind, struct ToaClient* client) {
  __u32 next = 0;
  TOA_UNROLL
  for (__u32 at = 0; at <= kToaOptionsMax - kToaIpv4Length; ++at) {
    if (at != next) continue;
    if (at + kToaIpv4Length > length) return false;
    if (options[at] == 0) return false;  // end of option list
    if (options[at] == 1) {              // no-operation, the one other kind without a length
      next = at + 1;
      continue;
    }
    const __u8 option_length = options[at + 1];
    if (option_length < 2 || option_length > length - at) return false;
    if (options[at] == kind && option_length == kToaIpv4Length) {
      ToaRead(options + at, kToaIpv4Length, client);
      return true;
    }
    if (options[at] == kind && option_length == kToaIpv6Length &&
        at + kToaIpv6Length <= kToaOptionsMax) {
      ToaRead(options + at, kToaIpv6Length, client);
      return true;
    }
    next = at + option_length;
  }
  return false;
}
