// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <cstdio>

#include "controlplane/cli/arguments.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/json.h"

namespace steelyard::controlplane::cli {
namespace {

// An echo has its identifier where other packets have a source port, and nothing for the other.
constexpr Range kIdentifierRange{0, UINT16_MAX};
constexpr Range kNoPort{0, 0};

std::string SessionText(const v1::LookupResponse& response) {
  if (response.stateless()) return "none, and none would be opened";
  if (!response.has_session()) return "none";
  const v1::Session& session = response.session();
  return session.state() + ", local " + FormatEndpoint(session.local()) + ", idle " +
         FormatDuration(session.idle_ms()) + ", expires in " +
         FormatDuration(session.expires_in_ms());
}

std::string OwnerText(const v1::LookupResponse& response) {
  std::array<char, 48> text;
  std::snprintf(text.data(), text.size(), "%u (hash 0x%08x)", response.worker(), response.hash());
  return text.data();
}

}  // namespace

void Lookup(Invocation& invocation) {
  v1::LookupRequest request;
  request.set_protocol(ParseProtocol(invocation.Word(0)));
  const bool echo = request.protocol() == v1::PROTOCOL_ICMP;
  *request.mutable_source() =
      ParseEndpoint(invocation.Word(1), echo ? kIdentifierRange : kPortRange);
  *request.mutable_destination() = ParseEndpoint(invocation.Word(2), echo ? kNoPort : kPortRange);
  const v1::LookupResponse response = invocation.client.Call(&Client::Stub::Lookup, request);
  if (invocation.format == OutputFormat::kJson) {
    invocation.out << ToJson(response) << '\n';
    return;
  }
  invocation.out << "verdict:  " << response.verdict() << '\n'
                 << "service:  " << (response.service().empty() ? "none" : response.service())
                 << '\n'
                 << "backend:  " << FormatEndpoint(response.backend()) << '\n'
                 << "worker:   " << OwnerText(response) << '\n'
                 << "session:  " << SessionText(response) << '\n';
}

}  // namespace steelyard::controlplane::cli
