// AO's client in its main-network mode (ao.N.1): everything by data items to HyperBEAM's paths.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, bob, byAction, get, ID, look, net, tag, values } from "./network.mjs";
import { main, mainAsk, mainLook, mainSpawn, push, valueAt } from "./mainnet.mjs";

const timed = { timeout: 120_000 };
const token = await mainSpawn("WrappedAR", { Name: "Main", Ticker: "MAIN" });
await push(token, { Action: "Mint", Quantity: "1000" });

test("spawn gives the process's id, and trusts the node", timed, async () => {
  assert.match(token, ID);
  const { tags } = (await get(`${net.su}/processes/${token}`)).json;
  assert.deepEqual(values(tags, "Authority"), [net.messenger]);
  assert.deepEqual(values(tags, "Variant"), ["ao.N.1"]);
});

test("message gives the slot, result what came of it", timed, async () => {
  const slot = await push(token, { Action: "Transfer", Recipient: bob.address, Quantity: "10" });
  assert.equal(typeof slot, "number");
  const found = await main(alice).result({ process: token, message: slot });
  assert.equal(tag(byAction(found, "Credit-Notice"), "Quantity"), "10");
  assert.equal(byAction(found, "Credit-Notice").Target, bob.address);
  assert.equal(found.Error, undefined);
});

test("message gives the id and the whole result when they are asked for", timed, async () => {
  const asked = { process: token, tags: [{ name: "Action", value: "Info" }], signer: alice.signer };
  const id = await main(alice).message({ ...asked, returnMessageId: true });
  const known = typeof id === "string" ? id : id.messageId ?? id.id;
  assert.match(known, ID);
  const { Messages } = await ao.result({ process: token, message: known });
  assert.equal(tag(Messages[0], "Ticker"), "MAIN");
});

test("results gives the newest slot with what came of it", timed, async () => {
  const slot = await push(token, { Action: "Info" });
  const { edges } = await main(alice).results({ process: token });
  assert.equal(edges.length, 1);
  assert.equal(Number(edges[0].cursor), slot);
  assert.equal(tag(edges[0].node.Messages[0], "Ticker"), "MAIN");
});

test("dryrun leaves no trace", timed, async () => {
  const before = await valueAt(token, "compute/at-slot");
  const found = await mainLook(token, { Action: "Transfer", Recipient: bob.address, Quantity: "1" });
  assert.ok(byAction(found, "Credit-Notice"));
  const [{ Data }] = (await mainLook(token, { Action: "Balance", Recipient: alice.address })).Messages;
  assert.equal(Data, String(await valueAt(token, `now/balances/${alice.address}`)));
  assert.equal(await valueAt(token, "compute/at-slot"), before);
});

test("reads that are signed as messages are never scheduled", timed, async () => {
  const before = await valueAt(token, "now/at-slot");
  await main(alice).result({ process: token, message: 1 });
  await main(alice).results({ process: token });
  await mainLook(token, { Action: "Info" });
  assert.equal(await valueAt(token, "now/at-slot"), before);
});

test("request posts to any path", timed, async () => {
  const response = await main(alice).request({
    path: `/${token}~process@1.0/push`,
    target: token,
    "signing-format": "ans104",
    "require-codec": "application/json",
    action: "Info",
    data: "1984",
  });
  assert.equal(response.status, 200);
  const { slot, raw } = await response.json();
  assert.equal(typeof slot, "number");
  assert.equal(tag(raw.Messages[0], "Ticker"), "MAIN");
});

test("request with an HTTP signature is refused in a sentence", timed, async () => {
  await assert.rejects(async () => {
    const response = await main(alice).request({ path: `/${token}~process@1.0/push`, action: "Info" });
    if (!response.ok) throw new Error((await response.json()).error);
  });
});

test("a client without a wallet reads", timed, async () => {
  const found = await main().result({ process: token, message: 1 });
  assert.equal(found.Messages[0].Target, alice.address);
  assert.equal((await main().dryrun({ process: token, tags: [{ name: "Action", value: "Info" }] })).Messages.length, 1);
});

test("both modes use one process: ids and slots agree", timed, async () => {
  const slot = await push(token, { Action: "Info" });
  const { json } = await get(`${net.su}/${token}?process-id=${token}&from-nonce=${slot - 1}`);
  const [{ node }] = json.edges;
  assert.deepEqual(values(node.assignment.tags, "Nonce"), [String(slot)]);
  const legacy = await ao.result({ process: token, message: node.message.id });
  const { Messages, Spawns, Assignments, Output } = await main(alice).result({ process: token, message: slot });
  assert.deepEqual({ Messages, Spawns, Assignments, Output }, {
    Messages: legacy.Messages,
    Spawns: legacy.Spawns,
    Assignments: legacy.Assignments,
    Output: legacy.Output,
  });
  await ask(token, { Action: "Transfer", Recipient: "legacy", Quantity: "3" });
  assert.equal(await valueAt(token, "now/balances/legacy"), "3");
});

test("a message that fails has its Error in the result", timed, async () => {
  const found = await mainAsk(token, { Action: "Transfer", Quantity: "1" });
  assert.ok(found.Error || byAction(found, "Transfer-Error"), JSON.stringify(found));
});

test("unknown processes and modules throw", timed, async () => {
  const unknown = "A".repeat(43);
  await assert.rejects(push(unknown, { Action: "Info" }));
  await assert.rejects(main(alice).result({ process: unknown, message: 1 }));
  await assert.rejects(main(alice).result({ process: token, message: 99_999 }));
  await assert.rejects(main(alice).spawn({ module: unknown, signer: alice.signer }));
});

test("a state is a plain URL: values, 404 for what is not there, old slots", timed, async () => {
  assert.equal(await valueAt(token, "now/ticker"), "MAIN");
  assert.equal(await valueAt(token, "now/no/such/key"), 404);
  assert.equal(await valueAt(token, `compute=1/balances/${alice.address}`), "1000");
  assert.equal(await valueAt(token, `compute=0/balances/${alice.address}`), 404);
  const head = await fetch(`${net.gateway}/${token}~process@1.0/now`, { method: "HEAD" });
  assert.equal(head.headers.get("ticker"), "MAIN");
  assert.equal(head.headers.get("device"), "process@1.0");
});

test("what one mode wrote the other's token reads", timed, async () => {
  const legacy = (await look(token, { Action: "Balances" })).Messages[0].Data;
  const response = await fetch(`${net.gateway}/${token}~process@1.0/now/balances?require-codec=application%2Fjson`);
  const shown = await response.json();
  assert.deepEqual(shown, JSON.parse(legacy));
});
