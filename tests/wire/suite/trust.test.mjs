// Who may speak for whom: authorities, forged From-Process tags, and what is pushed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, balance, bob, get, look, mallory, mintedToken, net, post, send, spawn, tag, until, values } from "./network.mjs";
import { item, MESSAGE } from "./items.mjs";

const token = await mintedToken("1000");
const received = (process, action) =>
  until(`${action} at ${process}`, async () => {
    const { json } = await get(`${net.su}/${process}?process-id=${process}&limit=1000`);
    return json.edges.find(({ node }) => values(node.message?.tags ?? [], "Action").includes(action));
  });

test("a From-Process tag on a stranger's message does not make it the process's own", async () => {
  const message = await send(token, { Action: "Mint", Quantity: "999", "From-Process": token }, { from: mallory });
  const result = await ao.result({ process: token, message });
  assert.deepEqual(result.Messages ?? [], []);
  assert.match(JSON.stringify(result.Output) + (result.Error ?? ""), /not trusted/i);
  assert.equal((await look(token, { Action: "Total-Supply" })).Messages[0].Data, "1000");
});

test("a From-Process tag that names the owner earns a stranger nothing", async () => {
  await ask(token, { Action: "Mint", Quantity: "999", "From-Process": alice.address }, { from: mallory });
  assert.equal((await look(token, { Action: "Total-Supply" })).Messages[0].Data, "1000");
});

test("a stranger cannot spend from the account that a From-Process tag names", async () => {
  const before = await balance(token, alice.address);
  await ask(token, { Action: "Transfer", Recipient: mallory.address, Quantity: "10", "From-Process": alice.address }, { from: mallory });
  assert.equal(await balance(token, alice.address), before);
  assert.equal(await balance(token, mallory.address), "0");
});

test("a forged Credit-Notice makes no pool", async () => {
  const benchmark = await spawn("Benchmark", { WrappedAR: token });
  const forged = { Action: "Credit-Notice", Sender: mallory.address, Quantity: "1000000", "X-Dataset": token, "X-Allocation": "Equal" };
  await ask(benchmark, { ...forged, "From-Process": token }, { from: mallory });
  await ask(benchmark, forged, { from: mallory });
  assert.deepEqual(JSON.parse((await look(benchmark, { Action: "Get-Pools" })).Messages[0].Data), []);
});

test("tags named From and Owner change nobody's identity", async () => {
  const [reply] = (await ask(token, { Action: "Balance", From: alice.address, Owner: alice.address }, { from: mallory })).Messages;
  assert.equal(tag(reply, "Account"), mallory.address);
});

test("Eval by a stranger runs nothing", async () => {
  const result = await ask(token, { Action: "Eval" }, { from: mallory, data: "Balances = {}; return 6 * 7" });
  assert.ok(!JSON.stringify(result.Output).includes("42"));
  assert.equal((await look(token, { Action: "Total-Supply" })).Messages[0].Data, "1000");
});

test("Eval of Lua by the owner is an Error result that says why: these modules are Python", async () => {
  const result = await ask(token, { Action: "Eval" }, { data: "return 6 * 7" });
  assert.match(result.Error, /no Lua/);
  assert.deepEqual(result.Messages, []);
});

test("On-Boot is an Error result of the process's own message: there is no Lua to run", async () => {
  const booted = await spawn("WrappedAR", { "On-Boot": "Data" }, { data: "print(1)" });
  assert.match((await ao.result({ process: booted, message: booted })).Error, /no Lua/);
});

test("a pushed message is signed by the messenger and says where it comes from", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  const cause = await send(token, { Action: "Transfer", Recipient: holder, Quantity: "3", "X-Why": "test" });
  const { message } = (await received(holder, "Credit-Notice")).node;
  assert.equal(message.owner.address, net.messenger);
  assert.deepEqual(values(message.tags, "From-Process"), [token]);
  assert.deepEqual(values(message.tags, "From-Module"), [net.modules.WrappedAR]);
  assert.deepEqual(values(message.tags, "Pushed-For"), [cause]);
  assert.deepEqual(values(message.tags, "X-Why"), ["test"]);
  assert.equal(values(message.tags, "Reference").length, 1);
});

test("what was pushed was evaluated, and its result can be read", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  await send(token, { Action: "Transfer", Recipient: holder, Quantity: "3" });
  const { message } = (await received(holder, "Credit-Notice")).node;
  const result = await ao.result({ process: holder, message: message.id });
  assert.equal(result.Error, undefined);
  assert.doesNotMatch(JSON.stringify(result.Output ?? ""), /not trusted/);
});

test("a process spawned without Authority hears only wallets", async () => {
  const deaf = await spawn("WrappedAR", { Name: "Deaf" }, { authority: false });
  assert.equal((await ask(deaf, { Action: "Info" }, { from: bob })).Messages.length, 1);
  await send(token, { Action: "Transfer", Recipient: deaf, Quantity: "3" });
  const { message } = (await received(deaf, "Credit-Notice")).node;
  const result = await ao.result({ process: deaf, message: message.id });
  assert.match(JSON.stringify(result.Output), /not trusted/);
  assert.deepEqual(result.Messages, []);
});

test("whoever is named as Authority may speak for others", async () => {
  const trusting = await spawn("WrappedAR", [{ name: "Authority", value: bob.address }]);
  const result = await ask(trusting, { Action: "Balance", "From-Process": mallory.address }, { from: bob });
  assert.equal(tag(result.Messages[0], "Account"), mallory.address);
});

test("several authorities in one tag, comma separated", async () => {
  const trusting = await spawn("WrappedAR", [{ name: "Authority", value: `${mallory.address},${bob.address}` }], { authority: false });
  const result = await ask(trusting, { Action: "Balance", "From-Process": alice.address }, { from: bob });
  assert.equal(tag(result.Messages[0], "Account"), alice.address);
});

test("the content of a pushed message under another signature is refused", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  await send(token, { Action: "Transfer", Recipient: holder, Quantity: "3" });
  const { tags, data, anchor } = (await received(holder, "Credit-Notice")).node.message;
  const reordered = tags.toReversed().filter(({ name }) => name !== "Pushed-For");
  for (const copied of [tags, reordered]) {
    const { bytes } = await item(mallory, { target: holder, tags: copied, data, anchor });
    const { status, json } = await post(net.mu, bytes);
    assert.equal(status, 500);
    assert.match(json.error, /^400: .*same content/);
    assert.equal((await post(net.su, bytes)).status, 400);
  }
});

test("a pushed message with another anchor under another signature earns nothing", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  await send(token, { Action: "Transfer", Recipient: holder, Quantity: "3" });
  const { tags, data } = (await received(holder, "Credit-Notice")).node.message;
  const { bytes, id } = await item(mallory, { target: holder, tags, data });
  assert.equal((await post(net.mu, bytes)).status, 202);
  const result = await ao.result({ process: holder, message: id });
  assert.match(result.Output.data, /not trusted/);
  assert.deepEqual(result.Messages, []);
});

test("POST /push answers as AO's messenger, and what was delivered is not delivered twice", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  const cause = await send(token, { Action: "Transfer", Recipient: holder, Quantity: "3" });
  await received(holder, "Credit-Notice");
  const log = async () => (await get(`${net.su}/${holder}?process-id=${holder}`)).json.edges.length;
  const before = await log();
  const push = (id, number) => post(`${net.mu}/push/${id}/${number}?process-id=${token}`, "");
  for (const number of [0, 1]) {
    const { status, json } = await push(cause, number);
    assert.equal(status, 202);
    assert.deepEqual(json, { message: "Processing Message Result", id: cause });
  }
  assert.equal(await log(), before);
  assert.equal((await push(cause, "x")).status, 400);
  for (const [id, number, text] of [
    [cause, 9, "Message number does not exist in the result."],
    ["n".repeat(43), 0, "Message id not found on the scheduler with a valid block."],
  ]) {
    const { status, json } = await push(id, number);
    assert.equal(status, 500);
    assert.equal(json.error, text);
  }
});

test("a forged copy that comes before a true notice does not keep it out", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  const transfer = { Action: "Transfer", Recipient: holder, Quantity: "3" };
  await send(token, transfer);
  const { message } = (await received(holder, "Credit-Notice")).node;
  const [reference] = values(message.tags, "Reference");
  const next = `${Number(reference) + 2}`; // its Debit-Notice takes the number between
  const tags = message.tags
    .filter(({ name }) => name !== "Pushed-For")
    .map((pair) => (pair.name === "Reference" ? { ...pair, value: next } : pair));
  const anchor = next.padStart(32, "0");
  const { bytes } = await item(mallory, { target: holder, tags, data: message.data, anchor });
  await post(net.mu, bytes);
  await send(token, transfer);
  const found = await until("the true notice", async () => {
    const { json } = await get(`${net.su}/${holder}?process-id=${holder}`);
    return json.edges.find(
      ({ node: { message: m } }) =>
        m.owner.address === net.messenger && values(m.tags, "Reference")[0] === next,
    );
  });
  const result = await ao.result({ process: holder, message: found.node.message.id });
  assert.doesNotMatch(JSON.stringify(result.Output), /not trusted/);
});
