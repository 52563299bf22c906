// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/client.h"

#include <grpcpp/create_channel.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "controlplane/cli/errors.h"

namespace steelyard::controlplane::cli {
namespace {

// The error of connecting, 0 for none: gRPC would retry, and would not say it in words.
int TryConnect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int error =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  return error;
}

ExitCode ToExitCode(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::NOT_FOUND:
      return kNotFound;
    case grpc::StatusCode::ABORTED:
      return kConflict;
    default:
      return kError;
  }
}

}  // namespace

Client::Stub& Client::Connected() {
  if (stub_ != nullptr) return *stub_;
  if (const int error = TryConnect(socket_path_); error != 0)
    throw CommandError(kError, "cannot reach steelyard-controlplane at " + socket_path_ + ": " +
                                   std::strerror(error));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // a state has no bound
  stub_ = v1::ControlPlane::NewStub(grpc::CreateCustomChannel(
      "unix:" + socket_path_, grpc::InsecureChannelCredentials(), arguments));
  return *stub_;
}

void Client::Expect(const grpc::Status& status) const {
  if (status.ok()) return;
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
    throw CommandError(kError, "no answer within " + std::to_string(kDeadline.count()) + " s");
  throw CommandError(ToExitCode(status.error_code()), status.error_message());
}

void Client::ListSessions(const v1::ListSessionsRequest& request,
                          const std::function<void(const v1::ListSessionsResponse&)>& take) {
  grpc::ClientContext context;
  const auto reader = Connected().ListSessions(&context, request);
  v1::ListSessionsResponse response;
  while (reader->Read(&response)) take(response);
  Expect(reader->Finish());
}

}  // namespace steelyard::controlplane::cli
