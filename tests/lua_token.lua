-- A token for the tests: mint, transfer, balances, in strings of whole numbers.
local json = require("json")
Balances = Balances or {}
Minted = Minted or 0

local function quantity(text)
  local number = math.tointeger(tonumber(text))
  assert(number and number > 0, "Quantity must be a positive whole number")
  return number
end

Handlers.add("Mint", Handlers.utils.hasMatchingTag("Action", "Mint"), function (msg)
  assert(msg.From == Owner, "only the owner mints")
  local amount = quantity(msg.Tags.Quantity)
  local whom = msg.Tags.Recipient or msg.From
  Balances[whom] = (Balances[whom] or 0) + amount
  Minted = Minted + amount
  ao.send({ Target = msg.From, Action = "Mint-Notice", Quantity = tostring(amount) })
end)

Handlers.add("Transfer", Handlers.utils.hasMatchingTag("Action", "Transfer"), function (msg)
  local amount, whom = quantity(msg.Tags.Quantity), msg.Tags.Recipient
  assert(type(whom) == "string", "Recipient is required")
  if (Balances[msg.From] or 0) < amount then
    ao.send({ Target = msg.From, Action = "Transfer-Error", Error = "Insufficient Balance!" })
    return
  end
  Balances[msg.From] = Balances[msg.From] - amount
  Balances[whom] = (Balances[whom] or 0) + amount
  if not msg.Tags.Cast then
    ao.send({ Target = msg.From, Action = "Debit-Notice", Recipient = whom,
      Quantity = tostring(amount), Data = "You sent " .. amount .. " to " .. whom })
    ao.send({ Target = whom, Action = "Credit-Notice", Sender = msg.From,
      Quantity = tostring(amount), Data = "You got " .. amount .. " from " .. msg.From })
  end
end)

Handlers.add("Balance", Handlers.utils.hasMatchingTag("Action", "Balance"), function (msg)
  local whom = msg.Tags.Recipient or msg.From
  ao.send({ Target = msg.From, Action = "Balance-Response", Account = whom,
    Balance = tostring(Balances[whom] or 0), Data = tostring(Balances[whom] or 0) })
end)

Handlers.add("Balances", Handlers.utils.hasMatchingTag("Action", "Balances"), function (msg)
  ao.send({ Target = msg.From, Data = json.encode(Balances) })
end)
