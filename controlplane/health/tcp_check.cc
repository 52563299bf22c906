// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/tcp_check.h"

#include "controlplane/health/stream_check.h"

namespace steelyard::controlplane {
namespace {

class TcpCheck final : public StreamCheck {
 public:
  using StreamCheck::StreamCheck;

 private:
  void OnConnected() override { Pass("connected"); }
};

}  // namespace

std::shared_ptr<Check> MakeTcpCheck(const CheckRequest& request) {
  return std::make_shared<TcpCheck>(request);
}

}  // namespace steelyard::controlplane
