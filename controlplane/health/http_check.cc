// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/http_check.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <limits>

#include "controlplane/health/stream_check.h"

namespace steelyard::controlplane {
namespace {

namespace http = boost::beast::http;

std::string DefaultHost(const boost::asio::ip::address& address) {
  return address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
}

class HttpCheck final : public StreamCheck {
 public:
  explicit HttpCheck(const CheckRequest& request)
      : StreamCheck(request),
        expected_status_(request.settings.http_expected_status()),
        get_(http::verb::get, request.settings.http_path(), 11),
        buffer_(kMaxHttpHeaderBytes) {
    const std::string& host = request.settings.http_host();
    get_.set(http::field::host, host.empty() ? DefaultHost(request.address) : host);
    get_.set(http::field::user_agent, "steelyard-health-check");
    get_.set(http::field::accept, "*/*");
    get_.set(http::field::connection, "close");
    response_.header_limit(kMaxHttpHeaderBytes);
    response_.body_limit(std::numeric_limits<uint64_t>::max());  // it is not read
  }

 private:
  void OnConnected() override {
    http::async_write(stream(), get_, [self = shared_from_this(), this](ErrorCode error, size_t) {
      if (error) return FailWith(error);
      ReadHeader();
    });
  }

  void ReadHeader() {
    http::async_read_header(stream(), buffer_, response_,
                            [self = shared_from_this(), this](ErrorCode error, size_t) {
                              if (error) return FailToRead(error);
                              Judge(response_.get().result_int());
                            });
  }

  void FailToRead(const ErrorCode& error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return Fail("HTTP header over " + std::to_string(kMaxHttpHeaderBytes / 1024) + " KiB");
    if (error == http::error::end_of_stream || error == http::error::partial_message)
      return Fail("connection closed before the end of the HTTP header");
    if (error.category() == make_error_code(http::error::bad_version).category())
      return Fail("not an HTTP response (" + error.message() + ")");
    FailWith(error);
  }

  void Judge(unsigned status) {
    const bool passed =
        expected_status_ != 0 ? status == expected_status_ : status >= 200 && status < 400;
    const std::string reason = "HTTP status " + std::to_string(status);
    passed ? Pass(reason) : Fail(reason);
  }

  const uint32_t expected_status_;
  http::request<http::empty_body> get_;
  boost::beast::flat_buffer buffer_;
  http::response_parser<http::empty_body> response_;
};

}  // namespace

std::shared_ptr<Check> MakeHttpCheck(const CheckRequest& request) {
  return std::make_shared<HttpCheck>(request);
}

}  // namespace steelyard::controlplane
