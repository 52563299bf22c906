// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_document.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <unordered_map>

namespace steelyard::controlplane {
namespace {

Position At(const YAML::Mark& mark) {
  return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1};
}

}  // namespace

class YamlDocument::Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::deque<YamlNode>& nodes) : nodes_(nodes) {}

  YAML::Mark start() const { return start_; }
  const YamlNode* root() const { return root_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    start_ = mark;
    root_ = nullptr;
    anchors_.clear();
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(YamlNode::Kind::kNothing, mark, anchor);
  }
  void OnAlias(const YAML::Mark&, YAML::anchor_t anchor) override { Place(anchors_.at(anchor)); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode& node = Add(YamlNode::Kind::kScalar, mark, anchor);
    node.quoted = tag == "!";
    node.text = value;
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back(&Add(YamlNode::Kind::kList, mark, anchor));
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back(&Add(YamlNode::Kind::kMap, mark, anchor));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  YamlNode& Add(YamlNode::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    YamlNode& node = nodes_.emplace_back();
    node.kind = kind;
    node.position = At(mark);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &node;
    Place(&node);
    return node;
  }

  void Place(const YamlNode* node) {
    if (open_.empty())
      root_ = node;
    else
      open_.back()->children.push_back(node);
  }

  std::deque<YamlNode>& nodes_;
  YAML::Mark start_;
  const YamlNode* root_ = nullptr;
  std::vector<YamlNode*> open_;
  std::unordered_map<YAML::anchor_t, const YamlNode*> anchors_;
};

YamlDocument::YamlDocument(const std::string& text, std::vector<Fault>& faults) {
  try {
    Parse(text, faults);
  } catch (const YAML::Exception& error) {
    root_ = nullptr;
    faults.push_back({At(error.mark), "", "not YAML: " + error.msg});
  }
}

void YamlDocument::Parse(const std::string& text, std::vector<Fault>& faults) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Builder builder(nodes_);
  if (!parser.HandleNextDocument(builder)) {
    root_ = &nodes_.emplace_back();
    return;
  }
  root_ = builder.root();
  const YAML::Mark first = builder.start();
  if (!parser.HandleNextDocument(builder)) return;
  const YAML::Mark second = builder.start();
  // The parser makes an empty document of a token that cannot begin one, and stays before it.
  const bool stuck = second.pos == first.pos ||
                     (parser.HandleNextDocument(builder) && builder.start().pos == second.pos);
  root_ = nullptr;
  faults.push_back(
      {At(second), "",
       stuck ? "not YAML: this cannot stand here" : "the file holds several documents"});
}

}  // namespace steelyard::controlplane
