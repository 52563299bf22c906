// SPDX-License-Identifier: Apache-2.0
#include "core/endpoint_mapping.h"

#include "core/forward/local_port.h"
#include "core/home.h"
#include "core/session_template.h"

namespace steelyard::core {
namespace {

using net::Endpoint;
using net::FlowKey;
using net::L4Protocol;

constexpr L4Protocol kMappingProtocol = TemplateProtocol(L4Protocol::kUdp);

SessionId FindByKey(const SessionTable& sessions, const FlowKey& key) {
  const FlowRef flow = sessions.Find(key);
  return flow == kNoFlow ? kNoSession : SessionOf(flow);
}

}  // namespace

SessionId FindMappingOfInside(const SessionTable& sessions, const Endpoint& inside) {
  return FindByKey(sessions, {inside, Anybody(inside.address.family()), kMappingProtocol});
}

SessionId FindMappingOfOutside(const SessionTable& sessions, const Endpoint& outside) {
  return FindByKey(sessions, {Anybody(outside.address.family()), outside, kMappingProtocol});
}

Endpoint InsideOf(const SessionTable& sessions, SessionId mapping) {
  return sessions.KeyOf(RefOf(mapping, Direction::kForward)).source;
}

Endpoint OutsideOf(const SessionTable& sessions, SessionId mapping) {
  return sessions.RewriteOf(RefOf(mapping, Direction::kForward)).source;
}

SessionId FindOrOpenMapping(const PacketContext& context, const Service& gateway,
                            const Endpoint& inside, net::Verdict& refusal) {
  const SessionId found = FindMappingOfInside(context.sessions, inside);
  if (found != kNoSession) return found;
  const Endpoint anybody = Anybody(inside.address.family());
  const auto outside =
      ChooseLocalEndpoint(context, gateway,
                          {.local_addresses = gateway.local_addresses.of(inside.address.family()),
                           .remote = anybody,
                           .protocol = kMappingProtocol,
                           .paired_with = inside.address});
  if (!outside) {
    refusal = net::Verdict::kLocalPortsExhausted;
    return kNoSession;
  }
  refusal = net::Verdict::kSessionTableFull;
  return OpenTemplate(context, gateway.slot, gateway.backends.front().slot,
                      {{inside, anybody, kMappingProtocol}, {*outside, anybody, kMappingProtocol}},
                      {{anybody, *outside, kMappingProtocol}, {anybody, inside, kMappingProtocol}});
}

SessionId OpenInbound(const PacketContext& context, SessionId mapping, const FlowKey& key) {
  SessionTable& sessions = context.sessions;
  const FlowKey forward(InsideOf(sessions, mapping), key.source, key.protocol);
  if (sessions.Find(forward) != kNoFlow) return kNoSession;
  const SessionId session = sessions.Insert({forward, key.Reversed()}, {key, forward.Reversed()});
  if (session != kNoSession) AttachToTemplate(sessions, session, mapping);
  return session;
}

}  // namespace steelyard::core
