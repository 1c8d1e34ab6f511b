-- Finds the name of the model in a body that is too big to be parsed: the string after the key "model" at depth 1 of
-- the JSON object. It walks byte by byte, builds nothing and holds one slice at a time, so that its time and memory are
-- bounded whatever the body holds. The last `model` wins, as in most JSON parsers. It is no validator (the engine is),
-- but a body that is plainly no JSON object is refused.

local SLICE_BYTES = 262144
local LONGEST_NAME_BYTES = 1024
local LONGEST_KEY_BYTES = 30 -- "model" with each letter written as \u006d

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local QUOTE, BACKSLASH, COLON, COMMA = 34, 92, 58, 44
local OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = 123, 125, 91, 93

-- What may come next at depth 1.
local KEY, AFTER_KEY, VALUE, AFTER_VALUE = 1, 2, 3, 4

local byte, char, find, floor, sub = string.byte, string.char, string.find, math.floor, string.sub

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40) end
  local last, second = 0x80 + code % 0x40, 0x80 + floor(code / 0x40) % 0x40
  if code < 0x10000 then return char(0xE0 + floor(code / 0x1000), second, last) end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40, second, last)
end

local function hexadecimal(text, at)
  local digits = string.match(text, "^%x%x%x%x", at)
  return digits and tonumber(digits, 16)
end

-- The character of the \u escape whose digits begin at `at`, and where the text goes on; nil for a wrong one.
local function unicode(text, at)
  local code = hexadecimal(text, at)
  if not code or (code >= 0xDC00 and code < 0xE000) then return nil end
  if code < 0xD800 or code >= 0xE000 then return utf8(code), at + 4 end
  local low = sub(text, at + 4, at + 5) == "\\u" and hexadecimal(text, at + 6)
  if not low or low < 0xDC00 or low >= 0xE000 then return nil end
  return utf8(0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)), at + 10
end

-- What a JSON string says, given the text between its quotes; nil where an escape is wrong.
local function decode(text)
  local parts, at = {}, 1
  while true do
    local escape = find(text, "\\", at, true)
    if not escape then break end
    parts[#parts + 1] = sub(text, at, escape - 1)
    local letter, said = sub(text, escape + 1, escape + 1), nil
    at = escape + 2
    if letter == "u" then
      said, at = unicode(text, at)
    else
      said = ESCAPES[letter]
    end
    if not said then return nil end
    parts[#parts + 1] = said
  end
  parts[#parts + 1] = sub(text, at)
  return table.concat(parts)
end

local function is_space(b)
  return b == 32 or b == 10 or b == 13 or b == 9
end

-- The name in `body`, an object with length() and getBytes(from, count), or one of the two sentinels.
local function scan(body)
  local length = body:length()
  local depth, expected, model = 0, KEY, "!missing"
  local in_string, escaped, has_escape = false, false, false
  local string_from, is_model = 0, false
  local closed = false
  local from = body:getBytes(0, 3) == "\239\187\191" and 3 or 0

  while from < length do
    local count = length - from < SLICE_BYTES and length - from or SLICE_BYTES
    local slice = body:getBytes(from, count)
    local i = 1
    while i <= count do
      local b = byte(slice, i)
      if in_string then
        if escaped then
          escaped = false
        elseif b == BACKSLASH then
          escaped, has_escape = true, true
        elseif b == QUOTE then
          in_string = false
          if depth == 1 then
            local size = from + i - 1 - string_from
            if expected == KEY then
              expected, is_model = AFTER_KEY, false
              if size == 5 or (has_escape and size <= LONGEST_KEY_BYTES) then
                is_model = decode(body:getBytes(string_from, size)) == "model"
              end
            else
              expected = AFTER_VALUE
              if is_model then
                model = size > 0 and size <= LONGEST_NAME_BYTES and decode(body:getBytes(string_from, size))
                  or "!missing"
              end
            end
          end
        end
      elseif depth > 1 then
        if b == QUOTE then
          in_string = true
        elseif b == OPEN_BRACE or b == OPEN_BRACKET then
          depth = depth + 1
        elseif b == CLOSE_BRACE or b == CLOSE_BRACKET then
          depth = depth - 1
        end
      elseif not is_space(b) then
        if depth == 0 then
          if b ~= OPEN_BRACE or closed then return "!invalid" end
          depth = 1
        elseif b == QUOTE then
          if expected ~= KEY and expected ~= VALUE then return "!invalid" end
          in_string, has_escape, string_from = true, false, from + i
        elseif b == COLON then
          if expected ~= AFTER_KEY then return "!invalid" end
          expected = VALUE
        elseif b == COMMA then
          if expected ~= AFTER_VALUE then return "!invalid" end
          expected = KEY
        elseif b == CLOSE_BRACE then
          if expected ~= KEY and expected ~= AFTER_VALUE then return "!invalid" end
          depth, closed = 0, true
        elseif expected == VALUE or expected == AFTER_VALUE then
          -- The first character of a nested value or of a number, or a further one of the latter.
          if is_model then model = "!missing" end
          if b == OPEN_BRACE or b == OPEN_BRACKET then depth = 2 end
          expected = AFTER_VALUE
        else
          return "!invalid"
        end
      end
      i = i + 1
    end
    from = from + count
  end
  return closed and model or "!invalid"
end

function envoy_on_request(handle)
  local body = handle:body()
  handle:streamInfo():dynamicMetadata():set("berth", "model", body and scan(body) or "!missing")
end
