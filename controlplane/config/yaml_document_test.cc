// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_document.h"

#include <gtest/gtest.h>

namespace steelyard::controlplane {
namespace {

using Kind = YamlNode::Kind;

std::string Faults(const std::string& text) {
  std::vector<Fault> faults;
  const YamlDocument document(text, faults);
  EXPECT_EQ(document.root() == nullptr, !faults.empty());
  return FormatFaults("f", faults);
}

TEST(YamlDocument, IsATreeWithPlaces) {
  std::vector<Fault> faults;
  const YamlDocument document("a: [x, \"1\"]\nb: {c: ~}\n", faults);
  const YamlNode& root = *document.root();
  ASSERT_EQ(root.kind, Kind::kMap);
  ASSERT_EQ(root.children.size(), 4u);
  EXPECT_EQ(root.children[0]->text, "a");
  const YamlNode& list = *root.children[1];
  ASSERT_EQ(list.kind, Kind::kList);
  EXPECT_EQ(list.position, (Position{1, 4}));
  EXPECT_FALSE(list.children[0]->quoted);
  EXPECT_TRUE(list.children[1]->quoted);
  EXPECT_EQ(list.children[1]->position, (Position{1, 8}));
  EXPECT_EQ(root.children[3]->children[1]->kind, Kind::kNothing);
}

TEST(YamlDocument, AnAliasIsItsAnchorsNode) {
  std::vector<Fault> faults;
  const YamlDocument document("[&a x, *a]", faults);
  EXPECT_EQ(document.root()->children[0], document.root()->children[1]);
}

TEST(YamlDocument, AListMayHoldItself) {
  std::vector<Fault> faults;
  const YamlDocument document("&a [*a]", faults);
  EXPECT_EQ(document.root()->children[0], document.root());
}

TEST(YamlDocument, NoDocumentIsNothing) {
  for (const char* text : {"", "\n\n", "# comment\n", "---\n", "~"}) {
    std::vector<Fault> faults;
    const YamlDocument document(text, faults);
    ASSERT_NE(document.root(), nullptr) << text;
    EXPECT_EQ(document.root()->kind, Kind::kNothing) << text;
  }
}

TEST(YamlDocument, OnlyOneDocument) {
  EXPECT_EQ(Faults("a: 1\n---\nb: 1\n"), "f:2:1: the file holds several documents\n");
  EXPECT_EQ(Faults("---\n---\n"), "f:2:1: the file holds several documents\n");
  EXPECT_EQ(Faults("---\na: 1\n...\n"), "");
}

// yaml-cpp yields empty documents without end here.
TEST(YamlDocument, RegressionStrayTokenEnds) {
  EXPECT_EQ(Faults(",a: 1\n"), "f:1:1: not YAML: this cannot stand here\n");
  EXPECT_EQ(Faults("a: 1\n...\n, b\n"), "f:3:1: not YAML: this cannot stand here\n");
}

TEST(YamlDocument, BadSyntaxHasAPlace) {
  EXPECT_EQ(Faults("a: [1\n"), "f:2:1: not YAML: end of sequence flow not found\n");
  EXPECT_EQ(Faults("a: *b\n"), "f:1:4: not YAML: the referenced anchor is not defined\n");
}

}  // namespace
}  // namespace steelyard::controlplane
