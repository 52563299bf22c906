// SPDX-License-Identifier: Apache-2.0
//
// One check of one backend, from its start to its result. A check type is a class derived from this
// one (from StreamCheck when it begins with a TCP connection), in a file of its own, and a row in
// check_registry.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "model.pb.h"

namespace steelyard::controlplane {

enum class CheckOutcome : uint8_t {
  kPassed,
  kFailed,
  kInconclusive,  // this machine could not make the check; says nothing about the backend
};

struct CheckResult {
  CheckOutcome outcome;
  std::string reason;  // for people, lower case, no full stop: "connection refused"
};

// References hold only while a check is being made from it.
struct CheckRequest {
  boost::asio::io_context& io_context;
  boost::asio::ip::address address;  // the backend's
  uint16_t port;                     // the check's, else the backend's
  const v1::HealthCheck& settings;
  bool expects_proxy_header = false;  // the port takes no connection that does not begin with one
};

class Check {
 public:
  using Done = std::function<void(const CheckResult&)>;

  Check() = default;
  virtual ~Check() = default;
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  // Once. `done` is called at most once, within the timeout, never before Start() has returned.
  virtual void Start(Done done) = 0;

  // Ends the check; `done` will not be called.
  virtual void Cancel() = 0;
};

}  // namespace steelyard::controlplane
