// SPDX-License-Identifier: Apache-2.0
//
// The control plane's API over its unix socket, with failures as CommandError: a status becomes its
// exit code, and a daemon that is away becomes a sentence that names the socket. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "controlplane.grpc.pb.h"

namespace steelyard::controlplane::cli {

class Client {
 public:
  using Stub = v1::ControlPlane::Stub;

  // Connects with the first call.
  explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  template <typename Request, typename Response>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    Response response;
    Expect((Connected().*method)(&context, request, &response));
    return response;
  }

  // `take` gets the parts of the answer as they arrive.
  void ListSessions(const v1::ListSessionsRequest& request,
                    const std::function<void(const v1::ListSessionsResponse&)>& take);

 private:
  // The largest states take seconds to apply.
  static constexpr std::chrono::seconds kDeadline{60};

  Stub& Connected();
  void Expect(const grpc::Status& status) const;

  const std::string socket_path_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace steelyard::controlplane::cli
