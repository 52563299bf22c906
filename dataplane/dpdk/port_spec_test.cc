// SPDX-License-Identifier: Apache-2.0
#include "dpdk/port_spec.h"

#include <gtest/gtest.h>

namespace steelyard::dpdk {
namespace {

TEST(PortSpec, EveryKindNamesItsDevice) {
  struct Case {
    const char* text;
    const char* device;
    const char* arguments;
    const char* kernel_interface;
    bool is_pci;
  };
  for (const Case& expected : {
           Case{"0000:03:00.0", "0000:03:00.0", "", "", true},
           Case{"000A:fF:1f.7", "000A:fF:1f.7", "", "", true},
           Case{"af_xdp:eth1", "net_af_xdp5", "iface=eth1", "eth1", false},
           Case{"af_packet:veth-a", "net_af_packet5", "iface=veth-a", "veth-a", false},
           Case{"memif:role=client,id=0", "net_memif5", "role=client,id=0", "", false},
           Case{"pcap:rx_pcap=/tmp/a", "net_pcap5", "rx_pcap=/tmp/a", "", false},
           Case{"vdev:net_null0,size=64", "net_null0", "size=64", "", false},
           Case{"vdev:net_ring0", "net_ring0", "", "", false},
       }) {
    const net::Result<PortSpec> spec = ParsePortSpec(expected.text, 5);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->text, expected.text);
    EXPECT_EQ(spec->device, expected.device);
    EXPECT_EQ(spec->arguments, expected.arguments);
    EXPECT_EQ(spec->kernel_interface, expected.kernel_interface);
    EXPECT_EQ(spec->is_pci, expected.is_pci);
  }
}

TEST(PortSpec, QueuesMayBeLimited) {
  EXPECT_EQ(ParsePortSpec("af_xdp:eth1", 0)->queues, 0);
  const auto spec = ParsePortSpec("af_xdp:eth1,queues=2", 0);
  EXPECT_EQ(spec->queues, 2);
  EXPECT_EQ(spec->kernel_interface, "eth1");
  EXPECT_EQ(spec->arguments, "iface=eth1");
  const auto memif = ParsePortSpec("memif:role=client,queues=3,id=0", 0);
  EXPECT_EQ(memif->queues, 3);
  EXPECT_EQ(memif->arguments, "role=client,id=0") << "not the driver's business";
}

TEST(PortSpec, BuffersMayBeAdded) {
  EXPECT_EQ(ParsePortSpec("pcap:rx_pcap=/tmp/a", 0)->more_buffers, 0);
  const auto pcap = ParsePortSpec("pcap:rx_pcap=/tmp/a,buffers=1000000,infinite_rx=1", 0);
  EXPECT_EQ(pcap->more_buffers, 1'000'000);
  EXPECT_EQ(pcap->arguments, "rx_pcap=/tmp/a,infinite_rx=1") << "not the driver's business";
}

TEST(PortSpec, ErrorsQuoteTheTextAndSayWhy) {
  struct Case {
    const char* text;
    const char* why;
  };
  for (const Case& expected : {
           Case{"", "not a port"},
           Case{"eth0", "not a port"},
           Case{"af_xpd:eth0", "not a port"},
           Case{"0000:03:00", "not a port"},
           Case{"0000:03:00.00", "not a port"},
           Case{"000g:03:00.0", "not a port"},
           Case{"af_xdp:", "network interface"},
           Case{"af_packet:a-name-far-too-long", "network interface"},
           Case{"af_packet:eth0,qpairs=2", "queues=N"},
           Case{"af_packet:eth0,queues=0", "queues=N"},
           Case{"af_packet:eth0,queues=2x", "queues=N"},
           Case{"af_packet:eth0,queues=99999", "queues=N"},
           Case{"af_packet:,queues=2", "network interface"},
           Case{"af_packet:../eth0", "network interface"},
           Case{"memif:", "key=value"},
           Case{"memif:queues=2", "key=value"},
           Case{"memif:id=0,queues=", "queues=N"},
           Case{"pcap:rx_pcap=/tmp/a,buffers=0", "buffers=N"},
           Case{"pcap:rx_pcap=/tmp/a,buffers=99999999999", "buffers=N"},
           Case{"pcap:/tmp/a", "key=value"},
           Case{"vdev:", "virtual device"},
           Case{"vdev:,size=64", "virtual device"},
       }) {
    const net::Result<PortSpec> spec = ParsePortSpec(expected.text, 0);
    ASSERT_FALSE(spec) << expected.text;
    EXPECT_NE(spec.error().message.find("'" + std::string(expected.text) + "'"), std::string::npos);
    EXPECT_NE(spec.error().message.find(expected.why), std::string::npos) << spec.error().message;
  }
}

}  // namespace
}  // namespace steelyard::dpdk
