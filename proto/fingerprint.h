// SPDX-License-Identifier: Apache-2.0
//
// A number for the content of a set of messages, that both daemons compute for themselves: equal
// sets give equal numbers whatever the order, so a drift between what was pushed and what is in
// force shows without sending it. Each message is serialized deterministically and hashed (FNV-1a,
// 64 bits, then mixed), and the hashes are added up: one element's change costs one element. Not
// against a forger: both ends of the socket trust each other.
#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>

namespace steelyard::proto {

// Of one message. A set's fingerprint is the sum of its elements', modulo 2^64.
uint64_t Fingerprint(const google::protobuf::MessageLite& message);
// Of an element of a list whose order means something, counted from 0: added up like the others,
// and another number at another position.
uint64_t FingerprintAt(const google::protobuf::MessageLite& message, uint64_t position);

}  // namespace steelyard::proto
