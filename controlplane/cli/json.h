// SPDX-License-Identifier: Apache-2.0
//
// Messages as JSON for programs: protobuf's mapping, with the schema's own field names, and zeroes
// shown. 64-bit numbers are strings there, as that mapping has it.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace steelyard::controlplane::cli {

enum class JsonLayout { kLines, kOneLine };

// Without a newline at the end.
std::string ToJson(const google::protobuf::Message& message,
                   JsonLayout layout = JsonLayout::kLines);

}  // namespace steelyard::controlplane::cli
