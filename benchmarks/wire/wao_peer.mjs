// npm's wao, for benchmarks/bench_wire.py: a token in its emulator, asked in memory or over HTTP.
//
// Usage: node --experimental-wasm-memory64 wao_peer.mjs memory|server PORT OWNER
// Prints one line of JSON when the token is there. In memory it then reads the path of a file of
// signed items (JSON: base64 texts) and a number of clients from each line of its input, sends them
// and prints the milliseconds that each took. As a server it stays until its input ends.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { ArweaveSigner, createData, DataItem } from "@dha-team/arbundles";
import { acc, AO, Server } from "wao/test";

const [mode, port, owner] = process.argv.slice(2);

// The same Transfer as WrappedAR's: balances as decimal strings, two notices.
const TOKEN = `
Balances = { ["${owner}"] = "1000000000" }
local function held(account) return tonumber(Balances[account] or "0") end
Handlers.add("Transfer", "Transfer", function(msg)
  local quantity = tonumber(msg.Quantity)
  if held(msg.From) < quantity then
    msg.reply({ Action = "Transfer-Error", ["Message-Id"] = msg.Id, Error = "Insufficient Balance!" })
    return
  end
  Balances[msg.From] = string.format("%.0f", held(msg.From) - quantity)
  Balances[msg.Recipient] = string.format("%.0f", held(msg.Recipient) + quantity)
  msg.reply({ Action = "Debit-Notice", Recipient = msg.Recipient, Quantity = msg.Quantity })
  ao.send({ Target = msg.Recipient, Action = "Credit-Notice", Sender = msg.From, Quantity = msg.Quantity })
end)
`;

const say = (value) => process.stdout.write(`@@@${JSON.stringify(value)}\n`);

const ao = await new AO().init(acc[0]);

/** Sign an item and post it to the server's messenger unit; return its id. */
async function post(type, tags, data, target) {
  const signer = new ArweaveSigner(acc[0].jwk);
  const protocol = { "Data-Protocol": "ao", Variant: "ao.TN.1", Type: type, ...tags };
  const named = Object.entries(protocol).map(([name, value]) => ({ name, value }));
  const item = createData(data, signer, { target, tags: named });
  await item.sign(signer);
  const headers = { "content-type": "application/octet-stream" };
  const url = `http://localhost:${Number(port) + 2}/`;
  const answer = await fetch(url, { method: "POST", headers, body: item.getRaw() });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return item.id;
}

async function deploy() {
  if (mode === "memory") return (await ao.deploy({ src_data: TOKEN })).pid;
  const [ar, bd, mu, su, cu] = [0, 1, 2, 3, 4].map((offset) => Number(port) + offset);
  new Server({ ar, bd, mu, su, cu, log: false });
  const tags = { Module: ao.module, Scheduler: ao.scheduler, Authority: ao.authority };
  const process = await post("Process", tags, " ");
  await post("Message", { Action: "Eval" }, TOKEN, process);
  return process;
}

const pid = await deploy();
say({ process: pid });

async function send(base64) {
  const begun = performance.now();
  const item = new DataItem(Buffer.from(base64, "base64"));
  await ao.message({ item, process: pid });
  const { Messages } = await ao.result({ message: item.id, process: pid });
  if (Messages.length !== 2) throw new Error(`${Messages.length} messages instead of two notices`);
  return performance.now() - begun;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { file, clients } = JSON.parse(line);
  const items = JSON.parse(readFileSync(file, "utf8"));
  const took = [];
  const begun = performance.now();
  const client = async () => {
    for (let next = items.pop(); next; next = items.pop()) took.push(await send(next));
  };
  await Promise.all(Array.from({ length: clients }, client));
  say({ seconds: (performance.now() - begun) / 1000, took });
}
process.exit(0);
