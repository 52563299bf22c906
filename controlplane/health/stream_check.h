// SPDX-License-Identifier: Apache-2.0
//
// What all checks over TCP share: the connection, one deadline over everything from the connect to
// the result, and the words for what can go wrong. Where the backend expects a PROXY protocol
// header, one of the command LOCAL goes first (proxy-protocol.txt section 2.2: "the connection was
// established on purpose by the proxy without being relayed", as health checks are). The connection
// is closed with a reset (SO_LINGER 0), so that checks leave no TIME_WAIT behind on the box.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include "controlplane/health/check.h"

namespace steelyard::controlplane {

class StreamCheck : public Check, public std::enable_shared_from_this<StreamCheck> {
 public:
  explicit StreamCheck(const CheckRequest& request);

  void Start(Done done) final;
  void Cancel() final;

 protected:
  using ErrorCode = boost::system::error_code;

  // The connection stands, and the header is sent. Ends in Pass(), Fail() or FailWith(), later or
  // at once; every operation on stream() keeps a shared_from_this() in its handler.
  virtual void OnConnected() = 0;

  boost::beast::tcp_stream& stream() { return stream_; }

  void Pass(std::string reason) { Finish({CheckOutcome::kPassed, std::move(reason)}); }
  void Fail(std::string reason) { Finish({CheckOutcome::kFailed, std::move(reason)}); }
  void FailWith(const ErrorCode& error);

 private:
  void Open(ErrorCode& error);
  void SendProxyHeader();
  void Finish(const CheckResult& result);

  boost::beast::tcp_stream stream_;
  const boost::asio::ip::tcp::endpoint endpoint_;
  const uint64_t timeout_ms_;
  const bool expects_proxy_header_;
  Done done_;  // empty once finished or cancelled
};

}  // namespace steelyard::controlplane
