// message, spawn, signMessage and sendSignedMessage: what the client puts on the wire arrives so.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, base64url, get, ID, mintedToken, net, send, spawn, tag, values } from "./network.mjs";

const token = await mintedToken();
const scheduled = async (message, process = token) => (await get(`${net.su}/${message}?process-id=${process}`)).json;

test("message returns the id that the scheduler knows", async () => {
  const id = await send(token, { Action: "Info" });
  assert.match(id, ID);
  assert.equal((await scheduled(id)).message.id, id);
});

test("the client's own tags arrive: SDK, Data-Protocol, Variant and Type", async () => {
  const { tags } = (await scheduled(await send(token, { Action: "Info" }))).message;
  assert.deepEqual(values(tags, "SDK"), ["aoconnect"]);
  assert.deepEqual(values(tags, "Data-Protocol"), ["ao"]);
  assert.deepEqual(values(tags, "Variant"), ["ao.TN.1"]);
  assert.deepEqual(values(tags, "Type"), ["Message"]);
});

test("the user's tags come first and keep their order", async () => {
  const mine = [
    { name: "Action", value: "Info" },
    { name: "b", value: "1" },
    { name: "a", value: "2" },
    { name: "b", value: "3" },
  ];
  const { tags } = (await scheduled(await send(token, mine))).message;
  assert.deepEqual(tags.slice(0, 4), mine);
});

test("of duplicate tags both are kept on the wire", async () => {
  const id = await send(token, [{ name: "Action", value: "Info" }, { name: "Action", value: "Balance" }]);
  assert.deepEqual(values((await scheduled(id)).message.tags, "Action"), ["Info", "Balance"]);
  assert.ok((await ao.result({ process: token, message: id })).Messages.length > 0);
});

test("a message without data carries one space and Content-Type text/plain", async () => {
  const { message } = await scheduled(await send(token, { Action: "Info" }));
  assert.equal(message.data, " ");
  assert.deepEqual(values(message.tags, "Content-Type"), ["text/plain"]);
});

test("data of any script arrives as it was", async () => {
  const data = "ẅ 漢字 🎲 \u0000 \n ' \" <b>";
  const { message } = await scheduled(await send(token, { Action: "Note" }, { data }));
  assert.equal(message.data, data);
});

test("tags of any script arrive as they were", async () => {
  const { tags } = (await scheduled(await send(token, { Action: "Info", "Größe": "漢字 🎲" }))).message;
  assert.deepEqual(values(tags, "Größe"), ["漢字 🎲"]);
});

test("owner, target and signature are those of the item", async () => {
  const { message } = await scheduled(await send(token, { Action: "Info" }));
  assert.equal(message.owner.address, alice.address);
  assert.equal(message.owner.key, alice.jwk.n);
  assert.equal(message.target, token);
  assert.equal(Buffer.from(message.signature, "base64url").length, 512);
});

test("without an anchor there is none", async () => {
  const { message } = await scheduled(await send(token, { Action: "Info" }));
  assert.ok(message.anchor === null || message.anchor === "", JSON.stringify(message.anchor));
});

test("an anchor of 32 characters arrives", async () => {
  const anchor = "0123456789abcdef0123456789abcdef";
  const { message } = await scheduled(await send(token, { Action: "Info" }, { anchor }));
  assert.ok([anchor, base64url(Buffer.from(anchor))].includes(message.anchor), message.anchor);
});

test("an anchor of another length is refused by the client itself", async () => {
  await assert.rejects(send(token, { Action: "Info" }, { anchor: "short" }));
});

test("a spawned process is its own message, with Module, Scheduler and Type=Process", async () => {
  const process = await spawn("WrappedAR", { Name: "Own" }, { data: "first words" });
  const { json } = await get(`${net.su}/processes/${process}`);
  assert.equal(json.process_id, process);
  assert.deepEqual(values(json.tags, "Type"), ["Process"]);
  assert.deepEqual(values(json.tags, "Module"), [net.modules.WrappedAR]);
  assert.deepEqual(values(json.tags, "Scheduler"), [net.scheduler]);
  assert.equal(json.owner.address, alice.address);
});

test("the result of a spawn is asked for by the process's own id", async () => {
  const process = await spawn("WrappedAR");
  const result = await ao.result({ process, message: process });
  assert.equal(result.Error, undefined);
  assert.ok(Array.isArray(result.Messages));
});

test("signMessage and sendSignedMessage: sign now, send later", async () => {
  const signed = await ao.signMessage({ process: token, signer: alice.signer, tags: [{ name: "Action", value: "Info" }] });
  const id = await ao.sendSignedMessage(signed);
  assert.match(id, ID);
  assert.equal((await ao.result({ process: token, message: id })).Messages.length, 1);
});

test("spawn of an unknown module fails before anything is sent", async () => {
  const unknown = { module: "m".repeat(43), scheduler: net.scheduler, signer: alice.signer };
  await assert.rejects(ao.spawn(unknown));
});

test("spawn without a scheduler is refused by the client itself", async () => {
  await assert.rejects(ao.spawn({ module: net.modules.WrappedAR, signer: alice.signer }));
});

test("a message to an unknown process throws with the messenger's status", async () => {
  await assert.rejects(send("p".repeat(43), { Action: "Info" }), /500|4\d\d/);
});

test("spawn tags that a module refuses give an Error result, not a lost process", async () => {
  const process = await spawn("Benchmark", {});
  const result = await ao.result({ process, message: process });
  assert.match(result.Error, /WrappedAR/);
});

test("an action that nobody handles gives a result without messages", async () => {
  const result = await ask(token, { Action: "No-Such-Action" });
  assert.equal(result.Error, undefined);
  assert.deepEqual(result.Messages, []);
});

test("two clients at once: every message is scheduled once, in one order", async () => {
  const process = await mintedToken("100");
  const sent = await Promise.all(
    Array.from({ length: 12 }, (_, n) => send(process, { Action: "Transfer", Recipient: "r".repeat(43), Quantity: "1", "X-N": `${n}` })),
  );
  const { json } = await get(`${net.su}/${process}?process-id=${process}&limit=100`);
  const nonces = json.edges.map(({ node }) => Number(values(node.assignment.tags, "Nonce")[0]));
  assert.deepEqual(nonces, nonces.map((_, n) => n));
  const known = new Set(json.edges.map(({ node }) => node.message.id));
  assert.ok(sent.every((id) => known.has(id)));
});

test("serializeCron makes the tags that the scheduler reads", async () => {
  const { serializeCron } = await import("@permaweb/aoconnect");
  const made = serializeCron({ interval: "10-seconds", tags: [{ name: "Action", value: "Info" }] });
  const process = await spawn("WrappedAR", made);
  assert.equal((await ao.result({ process, message: process })).Error, undefined);
  const { tags } = (await get(`${net.su}/processes/${process}`)).json;
  assert.deepEqual(values(tags, "Cron-Tag-Action"), ["Info"]);
});
