// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/unix_socket.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace steelyard::controlplane {
namespace {

using boost::asio::local::stream_protocol;

class UnixSocketTest : public testing::Test {
 protected:
  UnixSocketTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/deep/api.sock";
  }
  ~UnixSocketTest() override { std::filesystem::remove_all(folder_); }
  boost::asio::io_context io_;
  std::string folder_;
  std::string path_;
};

TEST_F(UnixSocketTest, MakesTheDirectory) {
  EXPECT_TRUE(PrepareSocketPath(path_));
  EXPECT_TRUE(std::filesystem::is_directory(folder_ + "/deep"));
}

TEST_F(UnixSocketTest, RemovesWhatACrashLeft) {
  ASSERT_TRUE(PrepareSocketPath(path_));
  { const stream_protocol::acceptor dead(io_, stream_protocol::endpoint(path_)); }
  ASSERT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(PrepareSocketPath(path_));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, LeavesAListenerAndOtherFilesAlone) {
  ASSERT_TRUE(PrepareSocketPath(path_));
  {
    const stream_protocol::acceptor live(io_, stream_protocol::endpoint(path_));
    const net::Status status = PrepareSocketPath(path_);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, path_ + ": another process listens there");
    EXPECT_TRUE(std::filesystem::exists(path_));
  }
  std::ofstream(folder_ + "/file") << "precious";
  EXPECT_FALSE(PrepareSocketPath(folder_ + "/file"));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/file"));
}

TEST_F(UnixSocketTest, RefusesWhatNoSocketCanBeNamed) {
  EXPECT_FALSE(PrepareSocketPath(""));
  EXPECT_FALSE(PrepareSocketPath(folder_ + "/" + std::string(200, 'x')));
}

}  // namespace
}  // namespace steelyard::controlplane
