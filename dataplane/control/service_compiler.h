// SPDX-License-Identifier: Apache-2.0
//
// From one service or outbound gateway message to the immutable object that workers read. Throws
// RequestError naming the field; alters nothing but the slots it acquires. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/outbound_gateway.h"
#include "core/service.h"
#include "model.pb.h"

namespace steelyard::control {

// "web 192.0.2.1 80": a backend of a service, for slots and the health overlay.
std::string BackendName(const std::string& service, const std::string& address, uint32_t port);

struct CompileContext {
  std::function<core::ServiceSlot(const std::string& service_name)> service_slot;
  std::function<core::BackendSlot(const std::string& backend_name)> backend_slot;
  std::function<v1::Health(const std::string& backend_name)> health;
  uint32_t workers;  // that share a rate of new sessions
};

// `path` is where the message stands in the request, e.g. "services[3]".
std::shared_ptr<const core::Service> CompileService(const v1::Service& message,
                                                    const std::string& path,
                                                    const CompileContext& context);

// Names of an outbound gateway's slots; none that a service or a backend could have.
std::string GatewaySlotName(const std::string& gateway);

core::OutboundGateway CompileOutboundGateway(const v1::OutboundGateway& message,
                                             const std::string& path,
                                             const CompileContext& context);

}  // namespace steelyard::control
