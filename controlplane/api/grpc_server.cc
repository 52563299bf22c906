// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "controlplane.grpc.pb.h"
#include "controlplane/api/unix_socket.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

// A whole desired state, of 10,000 services and more.
constexpr int kMaxRequestBytes = 256 << 20;
constexpr mode_t kSocketUmask = 0117;
constexpr auto kStopPatience = 1s;
// How soon a waiting call notices that its caller is gone.
constexpr auto kCancelPoll = 50ms;

grpc::Status Cancelled() {
  return {grpc::StatusCode::CANCELLED, "cancelled"};
}

// What the io_context's thread has for the gRPC thread that writes the stream.
class SessionQueue {
 public:
  struct Part {
    grpc::Status status;
    v1::ListSessionsResponse sessions;
    bool more;
  };

  void Push(Part part) {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return;
    parts_.push_back(std::move(part));
    ready_.notify_one();
  }
  // Nothing when the caller is gone.
  std::optional<Part> Pop(const grpc::ServerContext& context) {
    std::unique_lock lock(mutex_);
    while (!ready_.wait_for(lock, kCancelPoll, [this] { return !parts_.empty(); }))
      if (context.IsCancelled()) return std::nullopt;
    Part part = std::move(parts_.front());
    parts_.pop_front();
    return part;
  }
  void Abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    parts_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Part> parts_;
  bool abandoned_ = false;
};

// Each method runs on one of gRPC's threads.
class Service final : public v1::ControlPlane::Service {
 public:
  Service(boost::asio::io_context& io, Controller& controller) : io_(io), controller_(controller) {}

  grpc::Status Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                     v1::ApplyStateResponse* response) override {
    return Call(&Controller::Apply, *context, *request, *response);
  }
  grpc::Status GetState(grpc::ServerContext* context, const v1::GetStateRequest* request,
                        v1::GetStateResponse* response) override {
    return Call(&Controller::GetState, *context, *request, *response);
  }
  grpc::Status ListServices(grpc::ServerContext* context, const v1::ListServicesRequest* request,
                            v1::ListServicesResponse* response) override {
    return Call(&Controller::ListServices, *context, *request, *response);
  }
  grpc::Status ListOutboundGateways(grpc::ServerContext* context,
                                    const v1::ListOutboundGatewaysRequest* request,
                                    v1::ListOutboundGatewaysResponse* response) override {
    return Call(&Controller::ListOutboundGateways, *context, *request, *response);
  }
  grpc::Status GetStats(grpc::ServerContext* context, const v1::GetStatsRequest* request,
                        v1::GetStatsResponse* response) override {
    return Call(&Controller::GetStats, *context, *request, *response);
  }
  grpc::Status Lookup(grpc::ServerContext* context, const v1::LookupRequest* request,
                      v1::LookupResponse* response) override {
    return Call(&Controller::Lookup, *context, *request, *response);
  }
  grpc::Status GetVersion(grpc::ServerContext* context, const v1::GetVersionRequest* request,
                          v1::GetVersionResponse* response) override {
    return Call(&Controller::GetVersion, *context, *request, *response);
  }

  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            grpc::ServerWriter<v1::ListSessionsResponse>* writer) override {
    const auto queue = std::make_shared<SessionQueue>();
    boost::asio::post(io_, [this, queue, request = *request] {
      controller_.ListSessions(request, [queue](const grpc::Status& status,
                                                const v1::ListSessionsResponse& part, bool more) {
        queue->Push({status, part, more});
      });
    });
    while (auto part = queue->Pop(*context)) {
      const bool last = !part->more;
      const bool written =
          !part->status.ok() || part->sessions.sessions().empty() || writer->Write(part->sessions);
      if (last) return part->status;
      if (!written) break;
    }
    queue->Abandon();
    return Cancelled();
  }

 private:
  template <typename Request, typename Response>
  using Method = void (Controller::*)(const Request&, const Controller::Reply<Response>&);

  template <typename Request, typename Response>
  grpc::Status Call(Method<Request, Response> method, const grpc::ServerContext& context,
                    const Request& request, Response& response) {
    using Answer = std::pair<grpc::Status, Response>;
    const auto promise = std::make_shared<std::promise<Answer>>();
    std::future<Answer> future = promise->get_future();
    // The caller may leave before the controller comes to it: everything is copied.
    boost::asio::post(io_, [this, method, promise, request] {
      const Controller::Reply<Response> reply = [promise](const grpc::Status& status,
                                                          const Response& answer) {
        promise->set_value({status, answer});
      };
      std::invoke(method, controller_, request, reply);
    });
    while (future.wait_for(kCancelPoll) != std::future_status::ready)
      if (context.IsCancelled()) return Cancelled();
    Answer answer = future.get();
    response.Swap(&answer.second);
    return answer.first;
  }

  boost::asio::io_context& io_;
  Controller& controller_;
};

}  // namespace

struct GrpcServer::Running {
  Running(boost::asio::io_context& context, Controller& controller)
      : io(context), service(context, controller) {}
  boost::asio::io_context& io;
  Service service;
  std::unique_ptr<grpc::Server> server;
  std::thread stopper;
};

GrpcServer::GrpcServer(std::unique_ptr<Running> running) : running_(std::move(running)) {}

GrpcServer::~GrpcServer() {
  if (running_->stopper.joinable()) running_->stopper.join();
}

net::Result<std::unique_ptr<GrpcServer>> GrpcServer::Listen(boost::asio::io_context& io,
                                                            Controller& controller,
                                                            const std::string& socket_path) {
  const net::Status free = PrepareSocketPath(socket_path);
  if (!free) return free.error();
  auto running = std::make_unique<Running>(io, controller);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(&running->service);
  // The mode must be right from the first moment on.
  const mode_t former = umask(kSocketUmask);
  running->server = builder.BuildAndStart();
  umask(former);
  if (!running->server) return net::Error{socket_path + ": cannot listen"};
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(running)));
}

void GrpcServer::Stop(std::function<void()> on_stopped) {
  // Shutdown() waits for calls, and they wait for the io_context: it must not be its thread.
  running_->stopper = std::thread([this, on_stopped = std::move(on_stopped)] {
    running_->server->Shutdown(std::chrono::system_clock::now() + kStopPatience);
    boost::asio::post(running_->io, on_stopped);
  });
}

}  // namespace steelyard::controlplane
