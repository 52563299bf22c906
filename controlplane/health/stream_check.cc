// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/stream_check.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <cctype>
#include <chrono>
#include <utility>

namespace steelyard::controlplane {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Signature, version 2 with LOCAL, no family, no addresses.
constexpr std::array<uint8_t, 16> kLocalHeader = {'\r', '\n', '\r', '\n', 0,    '\r', '\n', 'Q',
                                                  'U',  'I',  'T',  '\n', 0x20, 0,    0,    0};

bool IsFaultOfThisMachine(const error_code& error) {
  for (const int code : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EACCES, EPERM}) {
    if (error == error_code(code, boost::system::system_category())) return true;
  }
  return false;
}

std::string Words(const error_code& error) {
  std::string words = error.message();
  if (!words.empty()) words[0] = static_cast<char>(std::tolower(words[0]));
  return words;
}

}  // namespace

StreamCheck::StreamCheck(const CheckRequest& request)
    : stream_(request.io_context),
      endpoint_(request.address, request.port),
      timeout_ms_(request.settings.timeout_ms()),
      expects_proxy_header_(request.expects_proxy_header) {}

void StreamCheck::Start(Done done) {
  done_ = std::move(done);
  error_code error;
  Open(error);
  if (error) {
    asio::post(stream_.get_executor(),
               [self = shared_from_this(), error] { self->FailWith(error); });
    return;
  }
  stream_.expires_after(std::chrono::milliseconds(timeout_ms_));
  stream_.async_connect(endpoint_, [self = shared_from_this()](const error_code& connect_error) {
    if (!self->done_) return;
    if (connect_error) return self->FailWith(connect_error);
    self->expects_proxy_header_ ? self->SendProxyHeader() : self->OnConnected();
  });
}

void StreamCheck::SendProxyHeader() {
  asio::async_write(stream_, asio::buffer(kLocalHeader),
                    [self = shared_from_this()](const error_code& error, size_t) {
                      if (!self->done_) return;
                      if (error) return self->FailWith(error);
                      self->OnConnected();
                    });
}

void StreamCheck::Cancel() {
  done_ = nullptr;
  stream_.close();
}

void StreamCheck::Open(error_code& error) {
  stream_.socket().open(endpoint_.protocol(), error);
  if (!error) stream_.socket().set_option(asio::socket_base::linger(true, 0), error);
}

void StreamCheck::FailWith(const error_code& error) {
  if (error == boost::beast::error::timeout)
    return Fail("timed out after " + std::to_string(timeout_ms_) + " ms");
  if (IsFaultOfThisMachine(error))
    return Finish({CheckOutcome::kInconclusive, "cannot check: " + Words(error)});
  Fail(Words(error));
}

void StreamCheck::Finish(const CheckResult& result) {
  if (!done_) return;
  stream_.close();
  std::exchange(done_, nullptr)(result);
}

}  // namespace steelyard::controlplane
