// SPDX-License-Identifier: Apache-2.0
//
// GET /metrics in Prometheus' text format (version 0.0.4). The families and their text are
// prometheus-cpp's; HTTP is Beast's, because the library's own server speaks no IPv6 on Debian.
//
// Owns one thread, which renders and sends. It reads only the MetricsData that was handed over
// last, so a scrape never waits for the daemon nor the daemon for a scrape. Who connects is
// hostile: a request is bounded in size and time, and so is the number of connections.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "controlplane/metrics/metrics_data.h"
#include "net/address.h"

namespace steelyard::controlplane {

class MetricsServer {
 public:
  // Listens at once; port 0 lets the system choose. Throws std::runtime_error, with a sentence,
  // when it cannot.
  explicit MetricsServer(const net::Endpoint& address);
  ~MetricsServer();

  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // What scrapes show from now on; before the first call they show nothing. Any thread.
  void Set(std::shared_ptr<const MetricsData> data);

  uint16_t port() const { return port_; }

 private:
  class Connection;

  void Open(const net::Endpoint& address);
  void Accept();
  void AcceptLater();
  std::shared_ptr<const MetricsData> Latest() const;

  mutable std::mutex mutex_;
  std::shared_ptr<const MetricsData> latest_;  // by mutex_
  int connections_ = 0;                        // from here on: the thread's
  boost::asio::io_context io_context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_timer_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace steelyard::controlplane
