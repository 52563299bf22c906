// SPDX-License-Identifier: Apache-2.0
//
// A message as YAML on one line, `{address: 192.0.2.1, port: 80, weight: 1}`, in the words of the
// file (words.h). For people to read in a diff; what is left out in the message is left out here.
// Any thread.
//
// Law: a DesiredState written by this and read by ParseDeclaredState is the same state.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace steelyard::controlplane {

std::string YamlText(const google::protobuf::Message& message);

// One value of a singular field that is not a message, as it stands in a file but never quoted:
// `2s`, `tcp`, `true`. Empty when the field is left out.
std::string FieldText(const google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor& field);
// The same of one item of a list of plain values.
std::string ItemText(const google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor& field, int index);

}  // namespace steelyard::controlplane
