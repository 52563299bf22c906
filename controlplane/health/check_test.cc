// SPDX-License-Identifier: Apache-2.0
//
// Every check type against a server on loopback: what passes, what fails, and in which words.
#include "controlplane/health/check.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/buffer.hpp>
#include <chrono>
#include <optional>

#include "controlplane/health/check_registry.h"
#include "controlplane/health/mini_server.h"

namespace steelyard::controlplane {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr uint64_t kTimeoutMs = 150;

v1::HealthCheck Settings(v1::HealthCheck::Type type) {
  v1::HealthCheck settings;
  settings.set_type(type);
  settings.set_timeout_ms(kTimeoutMs);
  settings.set_http_path("/health?x=1");
  return settings;
}

class CheckTest : public testing::Test {
 protected:
  CheckResult Run(const v1::HealthCheck& settings, uint16_t port,
                  const std::string& address = "127.0.0.1", bool expects_proxy_header = false) {
    std::optional<CheckResult> result;
    const auto check = FindCheckType(settings.type())
                           ->make({io_context_, asio::ip::make_address(address), port, settings,
                                   expects_proxy_header});
    check->Start([&](const CheckResult& got) {
      EXPECT_FALSE(result.has_value()) << "reported twice";
      result = got;
    });
    EXPECT_FALSE(result.has_value()) << "reported from within Start";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!result && std::chrono::steady_clock::now() < deadline)
      io_context_.run_one_for(milliseconds(20));
    return result.value_or(CheckResult{CheckOutcome::kInconclusive, "no result"});
  }

  CheckResult RunHttp(const std::string& answer, v1::HealthCheck settings = Http()) {
    MiniServer server(io_context_, "127.0.0.1", answer);
    return Run(settings, server.port());
  }

  static v1::HealthCheck Tcp() { return Settings(v1::HealthCheck::TYPE_TCP); }
  static v1::HealthCheck Http() { return Settings(v1::HealthCheck::TYPE_HTTP); }

  asio::io_context io_context_;
};

void ExpectFailed(const CheckResult& result, const std::string& reason) {
  EXPECT_EQ(result.outcome, CheckOutcome::kFailed);
  EXPECT_EQ(result.reason, reason);
}

void ExpectPassed(const CheckResult& result, const std::string& reason) {
  EXPECT_EQ(result.outcome, CheckOutcome::kPassed);
  EXPECT_EQ(result.reason, reason);
}

uint16_t RefusingPort(asio::io_context& io_context) {
  MiniServer server(io_context, "127.0.0.1", "");
  server.Close();
  return server.port();
}

// A listener whose queue is full: the kernel drops further SYNs.
class SilentPort {
 public:
  explicit SilentPort(asio::io_context& io_context)
      : acceptor_(io_context), first_(io_context), second_(io_context) {
    const asio::ip::tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
    acceptor_.open(any.protocol());
    acceptor_.bind(any);
    acceptor_.listen(0);
    first_.connect(acceptor_.local_endpoint());
    second_.async_connect(acceptor_.local_endpoint(), [](boost::system::error_code) {});
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::ip::tcp::acceptor acceptor_;
  asio::ip::tcp::socket first_;
  asio::ip::tcp::socket second_;
};

TEST_F(CheckTest, EveryTypeOfTheSchemaIsInTheRegistry) {
  for (int type = v1::HealthCheck::Type_MIN; type <= v1::HealthCheck::Type_MAX; ++type) {
    if (!v1::HealthCheck::Type_IsValid(type) || type == v1::HealthCheck::TYPE_UNSPECIFIED) continue;
    EXPECT_NE(FindCheckType(static_cast<v1::HealthCheck::Type>(type)), nullptr) << type;
  }
  EXPECT_EQ(FindCheckType(v1::HealthCheck::TYPE_UNSPECIFIED), nullptr);
}

TEST_F(CheckTest, EveryTypeFailsWhenRefused) {
  const uint16_t port = RefusingPort(io_context_);
  for (const CheckType& type : check_registry)
    ExpectFailed(Run(Settings(type.type), port), "connection refused");
}

TEST_F(CheckTest, EveryTypeTimesOutWhenNothingAnswers) {
  const SilentPort silent(io_context_);
  for (const CheckType& type : check_registry) {
    const auto start = std::chrono::steady_clock::now();
    ExpectFailed(Run(Settings(type.type), silent.port()), "timed out after 150 ms");
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_GE(took, milliseconds(kTimeoutMs - 1));
    EXPECT_LT(took, milliseconds(kTimeoutMs + 500));
  }
}

TEST_F(CheckTest, ACancelledCheckNeverReports) {
  const uint16_t refusing_port = RefusingPort(io_context_);
  MiniServer server(io_context_, "127.0.0.1", "HTTP/1.1 200 OK\r\n\r\n");
  for (const CheckType& type : check_registry) {
    for (const uint16_t port : {refusing_port, server.port()}) {
      const v1::HealthCheck settings = Settings(type.type);
      const auto check =
          type.make({io_context_, asio::ip::make_address("127.0.0.1"), port, settings});
      check->Start([](const CheckResult&) { FAIL(); });
      check->Cancel();
      io_context_.run_for(milliseconds(20));
    }
  }
}

TEST_F(CheckTest, RunningOutOfDescriptorsSaysNothingAboutTheBackend) {
  MiniServer server(io_context_, "127.0.0.1", "HTTP/1.1 200 OK\r\n\r\n");
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit none = limit;
  none.rlim_cur = 0;
  for (const CheckType& type : check_registry) {
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const CheckResult result = Run(Settings(type.type), server.port());
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(result.outcome, CheckOutcome::kInconclusive);
    EXPECT_EQ(result.reason, "cannot check: too many open files");
  }
}

TEST_F(CheckTest, TcpPassesOnConnectOverBothFamilies) {
  for (const std::string address : {"127.0.0.1", "::1"}) {
    MiniServer server(io_context_, address, "");
    ExpectPassed(Run(Tcp(), server.port(), address), "connected");
  }
}

TEST_F(CheckTest, ClosesWithResetSoThatNoTimeWaitIsLeft) {
  asio::ip::tcp::acceptor acceptor(io_context_, {asio::ip::address_v4::loopback(), 0});
  asio::ip::tcp::socket accepted(io_context_);
  acceptor.async_accept(accepted, [](boost::system::error_code) {});
  ExpectPassed(Run(Tcp(), acceptor.local_endpoint().port()), "connected");
  io_context_.run_for(milliseconds(10));
  char byte;
  boost::system::error_code error;
  accepted.read_some(asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::connection_reset);
}

TEST_F(CheckTest, HttpWithoutAnExpectedStatusTakesAny2xxOr3xx) {
  ExpectPassed(RunHttp("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "HTTP status 200");
  ExpectPassed(RunHttp("HTTP/1.1 204 No Content\r\n\r\n"), "HTTP status 204");
  ExpectPassed(RunHttp("HTTP/1.0 301 Moved\r\nLocation: http://x/\r\n\r\n"), "HTTP status 301");
  ExpectPassed(RunHttp("HTTP/1.1 399 Odd\r\n\r\n"), "HTTP status 399");
  ExpectFailed(RunHttp("HTTP/1.1 199 Odd\r\n\r\n"), "HTTP status 199");
  ExpectFailed(RunHttp("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP status 400");
  ExpectFailed(RunHttp("HTTP/1.1 503 Unavailable\r\n\r\n"), "HTTP status 503");
}

TEST_F(CheckTest, HttpWithAnExpectedStatusTakesOnlyThat) {
  v1::HealthCheck settings = Http();
  settings.set_http_expected_status(401);
  ExpectPassed(RunHttp("HTTP/1.1 401 Unauthorized\r\n\r\n", settings), "HTTP status 401");
  ExpectFailed(RunHttp("HTTP/1.1 200 OK\r\n\r\n", settings), "HTTP status 200");
}

TEST_F(CheckTest, HttpDoesNotWaitForTheBody) {
  MiniServer server(io_context_, "127.0.0.1",
                    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nfirst bytes",
                    MiniServer::After::kStayOpen);
  ExpectPassed(Run(Http(), server.port()), "HTTP status 200");
}

TEST_F(CheckTest, HttpHostIsTheConfiguredOneElseTheAddress) {
  for (const auto& [address, expected] :
       {std::pair{"127.0.0.1", "Host: 127.0.0.1\r\n"}, std::pair{"::1", "Host: [::1]\r\n"}}) {
    MiniServer server(io_context_, address, "HTTP/1.1 200 OK\r\n\r\n");
    Run(Http(), server.port(), address);
    EXPECT_EQ(server.last_request().find("GET /health?x=1 HTTP/1.1\r\n"), 0u);
    EXPECT_NE(server.last_request().find(expected), std::string::npos) << server.last_request();
    EXPECT_NE(server.last_request().find("Connection: close\r\n"), std::string::npos);

    v1::HealthCheck settings = Http();
    settings.set_http_host("www.example.net");
    Run(settings, server.port(), address);
    EXPECT_NE(server.last_request().find("Host: www.example.net\r\n"), std::string::npos);
    EXPECT_EQ(server.last_request().find(expected), std::string::npos);
  }
}

// Command LOCAL, no address: the check is the box's own connection.
const std::string kLocalHeader("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);

TEST_F(CheckTest, AProxyHeaderGoesFirstWhereOneIsExpected) {
  MiniServer server(io_context_, "127.0.0.1", "HTTP/1.1 200 OK\r\n\r\n");
  ExpectPassed(Run(Http(), server.port(), "127.0.0.1", true), "HTTP status 200");
  EXPECT_EQ(server.last_request().find(kLocalHeader + "GET /health?x=1 HTTP/1.1\r\n"), 0u);
  ExpectPassed(Run(Http(), server.port()), "HTTP status 200");
  EXPECT_EQ(server.last_request().find("GET /health?x=1 HTTP/1.1\r\n"), 0u);
}

TEST_F(CheckTest, ATcpCheckSendsTheHeaderAlone) {
  MiniServer server(io_context_, "127.0.0.1", "");
  ExpectPassed(Run(Tcp(), server.port(), "127.0.0.1", true), "connected");
  for (int i = 0; i < 100 && server.last_request().empty(); ++i)
    io_context_.run_one_for(milliseconds(20));
  EXPECT_EQ(server.last_request(), kLocalHeader);
}

TEST_F(CheckTest, HttpFailsOnGarbage) {
  const CheckResult result = RunHttp("SSH-2.0-OpenSSH_9.2\r\n\r\n");
  EXPECT_EQ(result.outcome, CheckOutcome::kFailed);
  EXPECT_EQ(result.reason.find("not an HTTP response ("), 0u) << result.reason;
  EXPECT_EQ(RunHttp(std::string(4096, '\0')).outcome, CheckOutcome::kFailed);
}

TEST_F(CheckTest, HttpHeaderIsBounded) {
  const std::string under(kMaxHttpHeaderBytes - 100, 'x');
  ExpectPassed(RunHttp("HTTP/1.1 200 OK\r\nX: " + under + "\r\n\r\n"), "HTTP status 200");
  const std::string over(kMaxHttpHeaderBytes, 'x');
  ExpectFailed(RunHttp("HTTP/1.1 200 OK\r\nX: " + over + "\r\n\r\n"), "HTTP header over 16 KiB");
  ExpectFailed(RunHttp("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x')),
               "HTTP header over 16 KiB");
}

TEST_F(CheckTest, HttpFailsWhenTheServerClosesEarly) {
  const std::string words = "connection closed before the end of the HTTP header";
  ExpectFailed(RunHttp(""), words);
  ExpectFailed(RunHttp("HTTP/1.1 200 OK\r\nX: y"), words);
}

TEST_F(CheckTest, HttpTimesOutOnASlowAnswer) {
  for (const std::string answer : {"", "HTTP/1.1 200 OK\r\nX: y"}) {
    MiniServer server(io_context_, "127.0.0.1", answer, MiniServer::After::kStayOpen);
    ExpectFailed(Run(Http(), server.port()), "timed out after 150 ms");
  }
}

}  // namespace
}  // namespace steelyard::controlplane
