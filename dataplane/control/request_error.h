// SPDX-License-Identifier: Apache-2.0
//
// Why a request was refused, and which of its fields is at fault. Thrown by the parts that check a
// request before anything is altered, caught once in the server.
#pragma once

#include <stdexcept>
#include <string>

#include "dataplane.pb.h"

namespace steelyard::control {

class RequestError : public std::runtime_error {
 public:
  RequestError(v1::Error::Code code, std::string path, const std::string& message)
      : std::runtime_error(message), code_(code), path_(std::move(path)) {}

  v1::Error ToMessage() const {
    v1::Error error;
    error.set_code(code_);
    error.set_path(path_);
    error.set_message(what());
    return error;
  }

 private:
  v1::Error::Code code_;
  std::string path_;
};

}  // namespace steelyard::control
