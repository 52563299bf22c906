// SPDX-License-Identifier: Apache-2.0
//
// Aligned columns for people. Rows are kept until Flush(), which makes each column as wide as its
// widest cell so far: a table that is flushed once is aligned throughout, a streamed one as far as
// it can be. Control characters in cells are shown as '?'.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace steelyard::controlplane::cli {

struct Column {
  std::string title;
  enum class Align { kLeft, kRight } align = Align::kLeft;
};
inline constexpr Column::Align kRight = Column::Align::kRight;

class Table {
 public:
  Table(std::ostream& out, std::vector<Column> columns);

  void Add(std::vector<std::string> cells);  // one a column
  // Prints the titles once, and the rows added since the last time.
  void Flush();

 private:
  void PrintRow(const std::vector<std::string>& cells);

  std::ostream& out_;
  std::vector<Column> columns_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace steelyard::controlplane::cli
