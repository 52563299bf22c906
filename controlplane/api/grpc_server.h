// SPDX-License-Identifier: Apache-2.0
//
// The API (proto/controlplane.proto) over gRPC on a unix socket. gRPC's threads carry each call
// into the io_context, where the controller does it, and wait for the reply; nothing else crosses.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/api/controller.h"
#include "net/result.h"

namespace steelyard::controlplane {

class GrpcServer {
 public:
  // Listens at once, with mode 0660; calls are answered as soon as the io_context runs. A socket
  // file that nobody listens on is replaced; any other file, or a listener, is an error.
  static net::Result<std::unique_ptr<GrpcServer>> Listen(boost::asio::io_context& io,
                                                         Controller& controller,
                                                         const std::string& socket_path);
  // After Stop() only.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // Ends calls under way after a moment, and calls back on the io_context, which must run until
  // then.
  void Stop(std::function<void()> on_stopped);

 private:
  struct Running;
  explicit GrpcServer(std::unique_ptr<Running> running);
  std::unique_ptr<Running> running_;
};

}  // namespace steelyard::controlplane
