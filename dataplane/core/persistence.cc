// SPDX-License-Identifier: Apache-2.0
#include "core/persistence.h"

#include "core/session_template.h"

namespace steelyard::core {
namespace {

net::FlowKey KeyOf(const Service& service, const net::IpAddress& client) {
  const int length = client.is_v4() ? service.persistence.ipv4_prefix_length
                                    : service.persistence.ipv6_prefix_length;
  return {{net::NetworkOf(client, length).address, {}},
          service.address,
          TemplateProtocol(service.protocol)};
}

}  // namespace

SessionId FindRemembered(const SessionTable& sessions, const Service& service,
                         const net::FlowKey& client_flow) {
  const FlowRef flow = sessions.Find(KeyOf(service, client_flow.source.address));
  return flow == kNoFlow ? kNoSession : SessionOf(flow);
}

void Remember(const PacketContext& context, const Service& service, const Backend& backend,
              const net::FlowKey& client_flow, SessionId session, SessionId remembered) {
  if (remembered == kNoSession) {
    const net::FlowKey key = KeyOf(service, client_flow.source.address);
    remembered = OpenTemplate(context, service.slot, backend.slot, {key, key},
                              {key.Reversed(), key.Reversed()});
  }
  if (remembered == kNoSession) {
    context.worker.services[service.slot].sessions_not_remembered.Add(1);
    return;
  }
  context.sessions.state(RefOf(remembered, Direction::kForward)).backend_slot = backend.slot;
  AttachToTemplate(context.sessions, session, remembered);
}

}  // namespace steelyard::core
