// SPDX-License-Identifier: Apache-2.0
//
// The eBPF side of steelyard-toa. ReadToa watches connections being accepted in its cgroup, finds
// the TOA option in the segments that may carry it and keeps the client's address with the socket;
// GetPeerName4 and GetPeerName6 put it in place of the address that accept() and getpeername() were
// about to return.
//
// Runs on Linux 5.10 and newer: no kernel BTF, no loop left in the program, the stack read at
// constant offsets only. The kernel holds the socket's lock around each of the three programs, so
// the storage of one socket never has two writers, nor a reader beside the writer.
// clang-format off
#include <linux/bpf.h>  // first: the headers of libbpf want its types
// clang-format on

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/in.h>
#include <linux/tcp.h>

#include "toa_maps.h"
#include "toa_option.h"

enum { kAfInet6 = 10 };  // <sys/socket.h> is not for -target bpf

const volatile __u8 toa_kind = 254;

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct ToaClient);
} toa_clients SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kToaLocalPrefixesMax);
  __type(key, struct ToaPrefixIpv4);
  __type(value, __u8);
} toa_local_ipv4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kToaLocalPrefixesMax);
  __type(key, struct ToaPrefixIpv6);
  __type(value, __u8);
} toa_local_ipv6 SEC(".maps");

static __always_inline bool IsFromLocalAddress(struct bpf_sock_ops* ctx) {
  struct ToaPrefixIpv6 ipv6 = {.length = 128};
  struct ToaPrefixIpv4 ipv4 = {.length = 32};
  if (ctx->family == kAfInet6) {
    ipv6.address[0] = ctx->remote_ip6[0];
    ipv6.address[1] = ctx->remote_ip6[1];
    ipv6.address[2] = ctx->remote_ip6[2];
    ipv6.address[3] = ctx->remote_ip6[3];
    const bool is_mapped =
        ipv6.address[0] == 0 && ipv6.address[1] == 0 && ipv6.address[2] == bpf_htonl(0xffff);
    if (!is_mapped) return bpf_map_lookup_elem(&toa_local_ipv6, &ipv6) != NULL;
    ipv4.address = ipv6.address[3];
  } else {
    ipv4.address = ctx->remote_ip4;
  }
  return bpf_map_lookup_elem(&toa_local_ipv4, &ipv4) != NULL;
}

// One copy of the unrolled search for both of its callers.
static __noinline bool FindOption(const __u8* options, __u32 length, struct ToaClient* client) {
  return ToaFind(options, length, toa_kind, client);
}

// The kernel's own option reader, bpf_load_hdr_opt, wants a magic number after kind 254 (RFC 6994);
// TOA has none, so the header is read as bytes.
static __always_inline bool FindInSegment(struct bpf_sock_ops* ctx, struct ToaClient* client) {
  __u8 options[kToaOptionsMax] = {};
  const __u8* from = (const __u8*)ctx->skb_data + sizeof(struct tcphdr);
  const __u8* end = ctx->skb_data_end;
  __u32 length = 0;
  TOA_UNROLL
  for (__u32 at = 0; at < kToaOptionsMax; at += 4) {
    if (from + at + 4 > end) break;
    __builtin_memcpy(options + at, from + at, 4);
    length = at + 4;
  }
  return FindOption(options, length, client);
}

static __always_inline bool FindInSavedSyn(struct bpf_sock_ops* ctx, struct ToaClient* client) {
  struct {
    struct tcphdr header;
    __u8 options[kToaOptionsMax];
  } syn = {};
  const int length = bpf_getsockopt(ctx, IPPROTO_TCP, TCP_BPF_SYN, &syn, sizeof(syn));
  if (length <= (int)sizeof(syn.header) || length > (int)sizeof(syn)) return false;
  return FindOption(syn.options, length - sizeof(syn.header), client);
}

static __always_inline void SaveSyns(struct bpf_sock_ops* ctx) {
  int on = 1;
  bpf_setsockopt(ctx, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on));
}

static __always_inline void Establish(struct bpf_sock_ops* ctx) {
  struct ToaClient client = {};
  struct bpf_sock* sk = ctx->sk;
  if (sk == NULL || !IsFromLocalAddress(ctx)) return;
  const bool is_found = FindInSegment(ctx, &client) || FindInSavedSyn(ctx, &client);
  if (bpf_sk_storage_get(&toa_clients, sk, &client, BPF_SK_STORAGE_GET_F_CREATE) == NULL) return;
  if (!is_found) {
    bpf_sock_ops_cb_flags_set(ctx,
                              ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
  }
}

// A segment of an established connection. The load balancer repeats the option until it has seen
// data from the backend; once such data is acknowledged, no later segment can carry it.
static __always_inline void LookAgain(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  if (sk == NULL) return;
  struct ToaClient* client = bpf_sk_storage_get(&toa_clients, sk, NULL, 0);
  if (client == NULL || client->is_known) return;
  struct ToaClient found = {};
  if (ctx->bytes_acked > 0) {
    bpf_sk_storage_delete(&toa_clients, sk);
  } else if (FindInSegment(ctx, &found)) {
    *client = found;
  } else {
    return;
  }
  bpf_sock_ops_cb_flags_set(ctx,
                            ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

SEC("sockops")
int ReadToa(struct bpf_sock_ops* ctx) {
  switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_LISTEN_CB:
      SaveSyns(ctx);
      break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
      Establish(ctx);
      break;
    case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
      LookAgain(ctx);
      break;
  }
  return 1;
}

static __always_inline const struct ToaClient* KnownClient(struct bpf_sock_addr* ctx) {
  const struct ToaClient* client = bpf_sk_storage_get(&toa_clients, ctx->sk, NULL, 0);
  return client != NULL && client->is_known ? client : NULL;
}

// An IPv6 client cannot be shown on an IPv4 socket: the address stays the load balancer's.
SEC("cgroup/getpeername4")
int GetPeerName4(struct bpf_sock_addr* ctx) {
  const struct ToaClient* client = KnownClient(ctx);
  if (client != NULL && ToaIsIpv4(client)) {
    ctx->user_ip4 = client->address[3];
    ctx->user_port = client->port;
  }
  return 1;
}

SEC("cgroup/getpeername6")
int GetPeerName6(struct bpf_sock_addr* ctx) {
  const struct ToaClient* client = KnownClient(ctx);
  if (client != NULL) {
    ctx->user_ip6[0] = client->address[0];
    ctx->user_ip6[1] = client->address[1];
    ctx->user_ip6[2] = client->address[2];
    ctx->user_ip6[3] = client->address[3];
    ctx->user_port = client->port;
  }
  return 1;
}

const char kLicense[] SEC("license") = "Apache-2.0";
