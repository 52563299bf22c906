// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <gtest/gtest.h>

namespace steelyard {
namespace {

net::Result<ParsedOptions> Parse(std::vector<const char*> arguments,
                                 const std::vector<uint32_t>& usable_cpus = {0, 1, 2, 3}) {
  arguments.insert(arguments.begin(), "steelyard-dataplane");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data(), usable_cpus);
}

DataplaneOptions ParseWell(const std::vector<const char*>& arguments,
                           const std::vector<uint32_t>& usable_cpus = {0, 1, 2, 3}) {
  const net::Result<ParsedOptions> parsed = Parse(arguments, usable_cpus);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::get<DataplaneOptions>(*parsed);
}

TEST(Options, Defaults) {
  const DataplaneOptions options = ParseWell({"--port", "af_packet:eth0"}, {2, 5, 6});
  EXPECT_EQ(options.main_core, 2u);
  EXPECT_EQ(options.worker_cores, std::vector<uint32_t>{5});
  EXPECT_TRUE(options.use_huge_pages);
  EXPECT_EQ(options.kernel_interface_prefix, "steel");
  EXPECT_EQ(options.control_socket, "/run/steelyard/dataplane.sock");
  EXPECT_EQ(options.session_capacity_ipv6, options.session_capacity / 2);
  EXPECT_GT(options.reassembly_datagrams, 0u);
}

TEST(Options, ReassemblyIsAsLargeAsToldOrOff) {
  for (const uint32_t datagrams : {0u, 1u, 65'536u}) {
    const std::string option = "--reassembly-datagrams=" + std::to_string(datagrams);
    EXPECT_EQ(ParseWell({"--port", "af_xdp:a", option.c_str()}).reassembly_datagrams, datagrams);
  }
}

TEST(Options, OneCpuIsShared) {
  const DataplaneOptions options = ParseWell({"--port", "af_packet:eth0"}, {3});
  EXPECT_EQ(options.main_core, 3u);
  EXPECT_EQ(options.worker_cores, std::vector<uint32_t>{3});
}

TEST(Options, TheDefaultWorkerIsNotTheMainCore) {
  const DataplaneOptions options =
      ParseWell({"--port", "af_packet:eth0", "--main-core", "1"}, {0, 1});
  EXPECT_EQ(options.worker_cores, std::vector<uint32_t>{0});
}

TEST(Options, PortsKeepTheirOrder) {
  const DataplaneOptions options =
      ParseWell({"--port", "af_xdp:b", "--port=af_xdp:a", "--memory=none",
                 "--session-capacity-ipv6=0", "--session-capacity=7"});
  ASSERT_EQ(options.ports.size(), 2u);
  EXPECT_EQ(options.ports[0].device, "net_af_xdp0");
  EXPECT_EQ(options.ports[1].kernel_interface, "a");
  EXPECT_FALSE(options.use_huge_pages);
  EXPECT_EQ(options.session_capacity, 7u);
  EXPECT_EQ(options.session_capacity_ipv6, 0u);
}

TEST(Options, PluginsKeepTheirOrder) {
  const DataplaneOptions options =
      ParseWell({"--port", "af_xdp:a", "--dpdk-plugin", "/lib/b.so", "--dpdk-plugin=/lib/a.so"});
  EXPECT_EQ(options.dpdk_plugins, (std::vector<std::string>{"/lib/b.so", "/lib/a.so"}));
  EXPECT_TRUE(ParseWell({"--port", "af_xdp:a"}).dpdk_plugins.empty());
}

TEST(Options, ItTakesNobodysPlaceUnlessTold) {
  const DataplaneOptions plain = ParseWell({"--port", "af_xdp:a"});
  EXPECT_FALSE(plain.take_over);
  EXPECT_FALSE(plain.in_background);
  EXPECT_TRUE(ParseWell({"--port", "af_xdp:a", "--take-over"}).take_over);
  EXPECT_TRUE(ParseWell({"--port", "af_xdp:a", "--background"}).in_background);
}

TEST(Options, HelpAndVersionAreTexts) {
  EXPECT_NE(std::get<OptionsText>(*Parse({"--help"})).text.find("--kernel-interface-prefix"),
            std::string::npos);
  EXPECT_EQ(std::get<OptionsText>(*Parse({"--version"})).text,
            "steelyard-dataplane " STEELYARD_VERSION "\n");
}

TEST(Options, ErrorsNameTheOption) {
  struct Case {
    std::vector<const char*> arguments;
    const char* needle;
  };
  for (const Case& bad : {
           Case{{}, "--port"},
           Case{{"--port", "eth0"}, "'eth0'"},
           Case{{"--port", "af_xdp:a", "--port", "af_xdp:a"}, "given twice"},
           Case{{"--port", "af_xdp:a", "--worker-cores", "0-64"}, "65 workers"},
           Case{{"--port", "af_xdp:a", "--worker-cores", "9"}, "CPU 9"},
           Case{{"--port", "af_xdp:a", "--worker-cores", "x"}, "'x'"},
           Case{{"--port", "af_xdp:a", "--main-core", "0-1"}, "--main-core"},
           Case{{"--port", "af_xdp:a", "--main-core", "9"}, "CPU 9"},
           Case{{"--port", "af_xdp:a", "--memory", "plenty"}, "'plenty'"},
           Case{{"--port", "af_xdp:a", "--memory-mib", "1"}, "--memory-mib"},
           Case{{"--port", "af_xdp:a", "--memory-mib", "much"}, "memory-mib"},
           Case{{"--port", "af_xdp:a", "--memory-mib", "-1"}, "--memory-mib"},
           Case{{"--port", "af_xdp:a", "--session-capacity", "0"}, "--session-capacity"},
           Case{{"--port", "af_xdp:a", "--dpdk-plugin", "plugin.so"}, "'plugin.so'"},
           Case{{"--port", "af_xdp:a", "--reassembly-datagrams", "65537"},
                "--reassembly-datagrams"},
           Case{{"--port", "af_xdp:a", "--reassembly-datagrams", "some"}, "reassembly-datagrams"},
           Case{{"--port", "af_xdp:a", "--kernel-interface-prefix", "far-too-long-nam"},
                "--kernel-interface-prefix"},
           Case{{"--port", "af_xdp:a", "--control-socket", ""}, "control-socket"},
           Case{{"--port", "af_xdp:a", "--prot", "b"}, "--prot"},
           Case{{"--port", "af_xdp:a", "stray"}, "positional"},
       }) {
    const net::Result<ParsedOptions> parsed = Parse(bad.arguments);
    ASSERT_FALSE(parsed) << bad.needle;
    EXPECT_NE(parsed.error().message.find(bad.needle), std::string::npos) << parsed.error().message;
  }
}

TEST(Options, AWorkerForEveryCoreThatIsNamed) {
  EXPECT_EQ(ParseWell({"--port", "af_xdp:a", "--worker-cores", "1-3,1"}).worker_cores,
            (std::vector<uint32_t>{1, 2, 3, 1}));
}

TEST(CpuList, NumbersAndRanges) {
  EXPECT_EQ(*ParseCpuList("3"), (std::vector<uint32_t>{3}));
  EXPECT_EQ(*ParseCpuList("8,2-4"), (std::vector<uint32_t>{8, 2, 3, 4}));
  for (const char* text : {"", ",", "1,", "a", "1-", "4-2", "-1", "99999", "1 "})
    EXPECT_FALSE(ParseCpuList(text)) << text;
}

}  // namespace
}  // namespace steelyard
