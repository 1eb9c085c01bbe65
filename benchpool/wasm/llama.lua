-- The package "llama" of aos-llama, served by the inference of benchpool.
-- Evaluate this file in a process; then require("llama") as llama-herder's worker does.
-- Differs: a text goes on greedily, and what next() gives depends on the text before it alone.
local json = require("json")

local Llama = { logLevel = 0, model = nil, text = "", ended = false }

local function ask(question)
  local file = io.open("/llama/" .. json.encode(question), "r")
  assert(file, "this process has no inference: spawn it with the tag Extension: Llama")
  local length = tonumber(file:read(16))
  local answer = json.decode(file:read(length))
  file:close()
  assert(not answer.error, answer.error)
  return answer
end

-- Load the model whose file has this data id, given as "/data/ID".
function Llama.load(path)
  local id = path:gsub("^/data/", "")
  local about = ask({ model = id, tokens = 0 })
  Llama.model = id
  return about
end

function Llama.setPrompt(prompt)
  Llama.text, Llama.ended = prompt, false
end
Llama.set_prompt = Llama.setPrompt

-- Let the model write so many tokens more; returns their text.
function Llama.run(count)
  assert(Llama.model, "load a model first")
  if Llama.ended or count < 1 then return "" end
  local answer = ask({ model = Llama.model, prompt = Llama.text, tokens = math.floor(count) })
  Llama.ended = answer.finish == "stop"
  Llama.text = Llama.text .. answer.text
  return answer.text
end

-- Let it write one token more; an empty text once it has ended.
function Llama.next()
  return Llama.run(1)
end

-- Put words into its mouth.
function Llama.add(text)
  Llama.text, Llama.ended = Llama.text .. text, false
end

function Llama.info()
  return "llama.cpp through benchpool"
end

function Llama.stop()
  Llama.ended = true
end

package.loaded["llama"] = Llama
return Llama
