// SPDX-License-Identifier: Apache-2.0
#include "toa/command_line.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <sstream>

#include "toa/toa_maps.h"

namespace steelyard::toa {
namespace {

namespace po = boost::program_options;

// Kinds that hosts on the way give a meaning of their own (IANA's registry of TCP option kinds):
// end of list, no-operation, MSS, window scale, SACK, timestamps, MD5, TCP-AO, MPTCP, Fast Open.
constexpr std::array kKindsInUse = {0, 1, 2, 3, 4, 5, 8, 19, 29, 30, 34};

po::options_description Options() {
  po::options_description options("Options");
  options.add_options()                                                                   //
      ("cgroup", po::value<std::string>()->value_name("PATH"),                            //
       "cgroup v2 directory whose servers see their clients' addresses")                  //
      ("local-address", po::value<std::vector<std::string>>()->value_name("ADDR[/LEN]"),  //
       "an address of the load balancer: TOA is believed from here only; repeatable")     //
      ("kind", po::value<int>()->value_name("N")->default_value(254),                     //
       "the TCP option's kind, as configured on the load balancer")                       //
      ("help,h", "print this")                                                            //
      ("version", "print the version");
  return options;
}

net::Result<uint8_t> ToKind(int kind) {
  const bool is_in_use =
      std::find(kKindsInUse.begin(), kKindsInUse.end(), kind) != kKindsInUse.end();
  if (kind < 0 || kind > 255 || is_in_use) {
    return net::Error{"--kind " + std::to_string(kind) +
                      ": not a TCP option kind free for TOA (2 to 255, and not one that TCP itself "
                      "uses: 2 to 5, 8, 19, 29, 30, 34)"};
  }
  return static_cast<uint8_t>(kind);
}

net::Result<std::vector<net::Prefix>> ToPrefixes(const std::vector<std::string>& texts) {
  std::vector<net::Prefix> prefixes;
  for (const std::string& text : texts) {
    const net::Result<net::Prefix> prefix = net::ParsePrefix(text);
    if (!prefix) return net::Error{"--local-address " + text + ": " + prefix.error().message};
    prefixes.push_back(*prefix);
  }
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  if (prefixes.size() > kToaLocalPrefixesMax) {
    return net::Error{"--local-address: more than " + std::to_string(kToaLocalPrefixesMax) +
                      " prefixes"};
  }
  return prefixes;
}

net::Result<CommandLine> Check(const po::variables_map& values) {
  CommandLine result;
  result.wants_help = values.count("help") != 0;
  result.wants_version = values.count("version") != 0;
  if (result.wants_help || result.wants_version) return result;

  if (values.count("cgroup") == 0) return net::Error{"--cgroup is required"};
  result.cgroup_path = values["cgroup"].as<std::string>();
  if (values.count("local-address") == 0) {
    return net::Error{"--local-address is required: whose TOA is to be believed"};
  }
  net::Result<std::vector<net::Prefix>> prefixes =
      ToPrefixes(values["local-address"].as<std::vector<std::string>>());
  if (!prefixes) return prefixes.error();
  result.local_addresses = std::move(*prefixes);
  const net::Result<uint8_t> kind = ToKind(values["kind"].as<int>());
  if (!kind) return kind.error();
  result.kind = *kind;
  return result;
}

}  // namespace

net::Result<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  try {
    const po::options_description options = Options();
    po::variables_map values;
    // No positional arguments: a stray word is an error, not ignored.
    po::store(po::command_line_parser(argc, argv)
                  .options(options)
                  .positional(po::positional_options_description())
                  .run(),
              values);
    return Check(values);
  } catch (const po::error& error) {
    return net::Error{error.what()};
  }
}

std::string HelpText() {
  std::ostringstream text;
  text << "steelyard-toa --cgroup PATH --local-address ADDR[/LEN] [--local-address ...] [--kind "
          "N]\n\n"
          "Shows the servers of a cgroup the clients' own addresses behind a full-NAT load "
          "balancer\n"
          "that sends them in a TCP option (TOA). Runs until SIGINT or SIGTERM, then detaches.\n\n"
       << Options();
  return text.str();
}

}  // namespace steelyard::toa
