-- Puts the name of the model into the header x-berth-asked, by which the request is routed: the string after the key
-- "model" at depth 1 of the JSON object in the body. Whether `stream` is true there goes into x-berth-stream.
--
-- It jumps over strings, builds nothing and holds one slice at a time, so that its time and memory are bounded whatever
-- the body holds (32 MiB take 0.05 to 0.6 s; a JSON parser takes up to 20 s and 3 GB for them). Of equal keys the last
-- wins, as in most parsers. It is no validator (the engine is), but what is plainly no JSON object is refused.

local SLICE_BYTES = 262144
local LONGEST_NAME_BYTES = 250 -- namespace/alias:adapter are at most 243
local SHORT_STRING_BYTES = 16 -- below this a jump costs more than it saves
local LONGEST_KEY_BYTES = 36 -- "stream" with each letter written as \u0073

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local QUOTE, BACKSLASH, COLON, COMMA, LETTER_T = 34, 92, 58, 44, 116
local OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = 123, 125, 91, 93

local BYTE_ORDER_MARK = "\239\187\191"
local MISSING, INVALID = "!missing", "!invalid"

-- What may come next at depth 1.
local KEY, AFTER_KEY, VALUE, AFTER_VALUE = 1, 2, 3, 4

local byte, char, find, floor, min, sub = string.byte, string.char, string.find, math.floor, math.min, string.sub

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

-- The text of `size` bytes at `at`. Asking the body for it walks the body from its start, so it is cut out of the slice
-- where it lies in there.
local function text_at(body, slice, from, at, size)
  if at >= from then return sub(slice, at - from + 1, at - from + size) end
  return body:getBytes(at, size)
end

local function is_space(b)
  return b == 32 or b == 10 or b == 13 or b == 9
end

local function may_matter(size, has_escape)
  return size == 5 or size == 6 or (has_escape and size <= LONGEST_KEY_BYTES)
end

-- What `body`, an object with length() and getBytes(from, count), says: the name or nil, whether an answer in pieces is
-- wanted, and whether it may be a JSON object at all.
local function scan(body)
  local length = body:length()
  local depth, expected, closed = 0, KEY, false
  local in_string, escaped, has_escape, string_from, ordinary = false, false, false, 0, 0
  local key, model, stream = nil, nil, false
  local from = 0

  while from < length do
    local count = min(length - from, SLICE_BYTES)
    local slice = body:getBytes(from, count)
    local i = from == 0 and sub(slice, 1, 3) == BYTE_ORDER_MARK and 4 or 1
    local quote, escape = 0, 0
    while i <= count do
      local b = byte(slice, i)
      if in_string then
        if escaped then
          escaped, ordinary = false, 0
        elseif b == BACKSLASH then
          escaped, has_escape = true, true
        elseif b == QUOTE then
          in_string, ordinary = false, 0
          if depth == 1 then
            local size = from + i - 1 - string_from
            if expected == KEY then
              expected = AFTER_KEY
              key = may_matter(size, has_escape) and decode(text_at(body, slice, from, string_from, size))
            else
              expected = AFTER_VALUE
              if key == "model" then
                model = size > 0 and decode(text_at(body, slice, from, string_from, min(size, 6 * LONGEST_NAME_BYTES)))
              end
            end
          end
        elseif ordinary < SHORT_STRING_BYTES then
          ordinary = ordinary + 1
        else
          -- In a long text, jump to what ends it or changes the meaning of what does.
          if quote < i then quote = find(slice, '"', i, true) or count + 1 end
          if escape < i then escape = find(slice, "\\", i, true) or count + 1 end
          i = min(quote, escape) - 1
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
          if b ~= OPEN_BRACE or closed then return nil, false, false end
          depth = 1
        elseif b == QUOTE then
          if expected ~= KEY and expected ~= VALUE then return nil, false, false end
          in_string, has_escape, string_from = true, false, from + i
        elseif b == COLON then
          if expected ~= AFTER_KEY then return nil, false, false end
          expected = VALUE
        elseif b == COMMA then
          if expected ~= AFTER_VALUE then return nil, false, false end
          expected = KEY
        elseif b == CLOSE_BRACE then
          if expected ~= KEY and expected ~= AFTER_VALUE then return nil, false, false end
          depth, closed = 0, true
        elseif expected == VALUE then
          -- The first character of a number, a word or a nested value.
          if key == "model" then model = nil end
          if key == "stream" then stream = b == LETTER_T end
          if b == OPEN_BRACE or b == OPEN_BRACKET then depth = 2 end
          expected = AFTER_VALUE
        elseif expected ~= AFTER_VALUE then
          return nil, false, false
        end
      end
      i = i + 1
    end
    from = from + count
  end
  return model or nil, stream, closed
end

local function is_json(content_type)
  local kind = content_type and string.match(content_type, "^%s*([^;%s]+)")
  return kind ~= nil and string.lower(kind) == "application/json"
end

local function encode(letter)
  return string.format("%%%02X", byte(letter))
end

-- Percent-encoded, since a client may write a line break into the name, and cut, since no model's name is that long.
-- Encoding also keeps a client from sending one of the two words for bodies without a name.
local function as_header(name)
  return (string.gsub(sub(name, 1, LONGEST_NAME_BYTES), "[^%w%-%._/:]", encode))
end

-- The values of the two headers.
local function read(handle)
  -- Only JSON by its own name: a web page of another origin may send other types without being asked.
  if not is_json(handle:headers():get("content-type")) then return INVALID, false end
  local body = handle:body()
  if not body then return MISSING, false end
  -- Envoy lets a request pass when a script fails, so nothing may fail in here.
  local done, model, stream, whole = pcall(scan, body)
  if not done or not whole then return INVALID, false end
  return model and as_header(model) or MISSING, stream
end

function envoy_on_request(handle)
  local asked, stream = read(handle)
  local headers = handle:headers()
  headers:replace("x-berth-asked", asked)
  headers:replace("x-berth-stream", stream and "true" or "false")
  handle:clearRouteCache()
end
