// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/json.h"

#include <google/protobuf/util/json_util.h>

#include "controlplane/cli/errors.h"

namespace steelyard::controlplane::cli {

std::string ToJson(const google::protobuf::Message& message, JsonLayout layout) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = layout == JsonLayout::kLines;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) throw CommandError(kError, "cannot print as JSON: " + status.ToString());
  json.erase(json.find_last_not_of('\n') + 1);
  return json;
}

}  // namespace steelyard::controlplane::cli
