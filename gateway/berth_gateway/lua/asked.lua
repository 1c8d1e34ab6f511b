-- Tells the agent which name the client asked for. Percent-encoded, since the name is whatever the client wrote and a
-- header must not carry a line break; cut, since the agent only shows it.

local LONGEST_BYTES = 200

local function encode(letter)
  return string.format("%%%02X", string.byte(letter))
end

function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get("berth")
  local name = string.sub(metadata and metadata["model"] or "", 1, LONGEST_BYTES)
  handle:headers():replace("x-berth-asked", (string.gsub(name, "[^%w%-%._/]", encode)))
end
