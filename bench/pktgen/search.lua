-- SPDX-License-Identifier: Apache-2.0
-- The binary search of RFC 2544 section 26.1.

local search = {}

-- passes(percent) makes a trial and tells whether too much was lost. Returns the highest rate that was
-- tried and passed, at most `resolution` below one that did not; nil if none above `resolution` passed.
function search.highest(passes, resolution)
  assert(resolution > 0, "a resolution of nothing is never reached")
  if passes(100) then return 100 end
  local passed, failed = nil, 100
  while failed - (passed or 0) > resolution do
    local rate = ((passed or 0) + failed) / 2
    if passes(rate) then passed = rate else failed = rate end
  end
  return passed
end

return search
