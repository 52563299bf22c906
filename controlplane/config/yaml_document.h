// SPDX-License-Identifier: Apache-2.0
//
// A YAML document as a tree, each node with its place. Built from yaml-cpp's events instead of its
// own tree: that one takes twice the time for a large file, places absent values wrongly, and
// loading "all documents" of a text that begins with a comma never ends. One thread; nodes live as
// long as their document.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "controlplane/config/source_map.h"

namespace steelyard::controlplane {

struct YamlNode {
  enum class Kind { kNothing, kScalar, kList, kMap };
  Kind kind = Kind::kNothing;
  Position position;
  bool quoted = false;                    // a scalar that is text, whatever it looks like
  std::string text;                       // of a scalar
  std::vector<const YamlNode*> children;  // of a list; of a map key, value, key, value, …
};

class YamlDocument {
 public:
  // With anything but exactly one document (or none, which is a root that is nothing) in `text`,
  // the fault is noted and the root is null.
  YamlDocument(const std::string& text, std::vector<Fault>& faults);

  // An alias stands as its anchor's node, so nodes may be met more than once, even within
  // themselves.
  const YamlNode* root() const { return root_; }

 private:
  class Builder;
  void Parse(const std::string& text, std::vector<Fault>& faults);

  std::deque<YamlNode> nodes_;
  const YamlNode* root_ = nullptr;
};

}  // namespace steelyard::controlplane
