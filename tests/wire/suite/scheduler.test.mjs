// The scheduler unit's look-ups, by plain fetch.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, base64url, bob, get, ID, mintedToken, net, post, send, sha256, spawn, values } from "./network.mjs";
import { item, MESSAGE } from "./items.mjs";

const token = await mintedToken("1000");
const sent = [];
for (let n = 1; n <= 5; n += 1) {
  sent.push(await send(token, { Action: "Transfer", Recipient: bob.address, Quantity: `${n}` }));
}
await ao.result({ process: token, message: sent.at(-1) });
const list = async (query = "") => (await get(`${net.su}/${token}?process-id=${token}${query}`)).json;
const one = (edge, name) => values(edge.node.assignment.tags, name)[0];

test("a process's messages come in order, the process itself first", async () => {
  const { edges, page_info: page } = await list();
  assert.equal(page.has_next_page, false);
  assert.equal(edges[0].node.message.id, token);
  assert.deepEqual(edges.slice(2, 7).map(({ node }) => node.message.id), sent);
});

test("a message has id, owner, data, tags, signature, anchor and target", async () => {
  const { message } = (await list()).edges[2].node;
  for (const key of ["id", "owner", "data", "tags", "signature", "anchor", "target"]) assert.ok(key in message, key);
  assert.deepEqual(Object.keys(message.owner).sort(), ["address", "key"]);
});

test("an assignment has AO's tags", async () => {
  const { edges } = await list();
  for (const edge of edges) {
    assert.equal(one(edge, "Type"), "Assignment");
    assert.equal(one(edge, "Data-Protocol"), "ao");
    assert.equal(one(edge, "Variant"), "ao.TN.1");
    assert.equal(one(edge, "Process"), token);
    assert.equal(one(edge, "Epoch"), "0");
    assert.match(one(edge, "Nonce"), /^\d+$/);
    assert.match(one(edge, "Block-Height"), /^\d{12}$/);
    assert.match(one(edge, "Timestamp"), /^\d{13}$/);
    assert.match(one(edge, "Hash-Chain"), ID);
  }
});

test("every message but the process's own names itself in its assignment", async () => {
  const { edges } = await list();
  for (const edge of edges.slice(1)) assert.equal(one(edge, "Message"), edge.node.message.id);
});

test("nonces count up from 0, the process itself", async () => {
  const { edges } = await list();
  assert.deepEqual(edges.map((edge) => Number(one(edge, "Nonce"))), edges.map((_, n) => n));
});

test("the hash chain goes from the process's id over the id of each signed assignment", async () => {
  const { edges } = await list();
  let next = Buffer.from(token, "base64url");
  for (const edge of edges) {
    const chain = one(edge, "Hash-Chain");
    assert.equal(chain, base64url(sha256(next)));
    next = Buffer.concat([Buffer.from(edge.node.assignment.id, "base64url"), Buffer.from(chain, "base64url")]);
  }
});

test("assignments are signed: the id is the hash of the signature", async () => {
  for (const { node } of (await list()).edges) {
    const { id, signature, owner } = node.assignment;
    assert.equal(base64url(sha256(Buffer.from(signature, "base64url"))), id);
    assert.equal(owner.address, net.scheduler);
  }
});

test("a cursor is the timestamp, and from is exclusive", async () => {
  const { edges } = await list();
  const times = edges.map(({ cursor }) => cursor);
  assert.ok(times.every((cursor) => /^\d{13}$/.test(cursor)));
  const later = (await list(`&from=${times[2]}`)).edges;
  assert.ok(later.every(({ cursor }) => Number(cursor) > Number(times[2])));
});

test("to is inclusive", async () => {
  const times = (await list()).edges.map(({ cursor }) => cursor);
  const some = (await list(`&to=${times[2]}`)).edges;
  assert.equal(some.at(-1).cursor, times[2]);
});

test("limit makes pages, and page_info says that more follow", async () => {
  const { edges, page_info: page } = await list("&limit=2");
  assert.equal(edges.length, 2);
  assert.equal(page.has_next_page, true);
});

test("messages that share a millisecond are not lost between pages", async () => {
  const busy = await spawn("WrappedAR");
  const made = await Promise.all([...Array(30).keys()].map((n) => item(alice, { target: busy, tags: [...MESSAGE, { name: "N", value: `${n}` }] })));
  await Promise.all(made.map(({ bytes }) => post(net.mu, bytes)));
  const seen = [];
  for (let from = "", more = true; more; ) {
    const { json } = await get(`${net.su}/${busy}?process-id=${busy}&limit=4&from=${from}`);
    seen.push(...json.edges.map(({ node }) => node.message.id));
    more = json.page_info.has_next_page;
    from = json.edges.at(-1).cursor;
  }
  assert.deepEqual([...seen].sort(), [busy, ...made.map(({ id }) => id)].sort());
});

test("from-nonce and to-nonce page by nonce", async () => {
  const { edges } = await list("&from-nonce=1&to-nonce=3");
  const nonces = edges.map((edge) => Number(one(edge, "Nonce")));
  assert.ok(nonces.includes(3) && nonces.includes(2) && !nonces.includes(4) && !nonces.includes(0), `${nonces}`);
});

test("without process-id as parameter the list is the same, as getMessages needs it", async () => {
  const { json } = await get(`${net.su}/${token}`);
  assert.deepEqual(json.edges.map(({ cursor }) => cursor), (await list()).edges.map(({ cursor }) => cursor));
});

test("a message is found by its id, with its assignment", async () => {
  const { status, json } = await get(`${net.su}/${sent[0]}?process-id=${token}`);
  assert.equal(status, 200);
  assert.equal(json.message.id, sent[0]);
  assert.deepEqual(values(json.assignment.tags, "Message"), [sent[0]]);
});

test("a message is found by its assignment's id", async () => {
  const { json } = await get(`${net.su}/${sent[0]}?process-id=${token}`);
  const again = (await get(`${net.su}/${json.assignment.id}?process-id=${token}`)).json;
  assert.equal(again.message.id, sent[0]);
});

test("an unknown message is 400 with AO's words", async () => {
  const { status, json } = await get(`${net.su}/${"u".repeat(43)}?process-id=${token}`);
  assert.equal(status, 400);
  assert.deepEqual(json, { error: "Message or Process not found" });
});

test("a message without process-id is 400", async () => {
  const { status, json } = await get(`${net.su}/${sent[0]}`);
  assert.equal(status, 400);
  assert.equal(typeof json.error, "string");
});

test("a message of another process is not found", async () => {
  const other = await spawn("WrappedAR");
  assert.equal((await get(`${net.su}/${sent[0]}?process-id=${other}`)).status, 400);
});

test("the latest message of a process", async () => {
  const { status, json } = await get(`${net.su}/${token}/latest`);
  assert.equal(status, 200);
  assert.equal(json.message.id, (await list("&limit=1000")).edges.at(-1).node.message.id);
});

test("timestamp and block height are strings", async () => {
  const { json } = await get(`${net.su}/timestamp?process-id=${token}`);
  assert.match(json.timestamp, /^\d{13}$/);
  assert.match(json.block_height, /^\d{12}$/);
});

test("the scheduler tells its address for a process", async () => {
  const { json } = await get(`${net.su}/?process-id=${token}`);
  assert.equal(json.address, net.scheduler);
  assert.ok(Number(json.timestamp) > 1.7e12);
});

test("an unknown process is 400", async () => {
  for (const path of [`processes/${"p".repeat(43)}`, `${"p".repeat(43)}?process-id=${"p".repeat(43)}`]) {
    const { status, json } = await get(`${net.su}/${path}`);
    assert.equal(status, 400, path);
    assert.equal(typeof json.error, "string");
  }
});

test("an item posted to the scheduler itself is scheduled: timestamp and id", async () => {
  const { bytes, id } = await item(alice, { target: token, tags: [...MESSAGE, { name: "Action", value: "Info" }] });
  const { status, json } = await post(`${net.su}/`, bytes);
  assert.equal(status, 200, JSON.stringify(json));
  assert.equal(typeof json.timestamp, "number");
  assert.equal(json.id, id);
});

test("a bad item posted to the scheduler is 400", async () => {
  const { bytes } = await item(alice, { target: token, tags: MESSAGE });
  bytes[50] ^= 1;
  const { status, json } = await post(`${net.su}/`, bytes);
  assert.equal(status, 400);
  assert.equal(typeof json.error, "string");
});

test("GET of a process is answered and the server goes on", async () => {
  assert.equal((await get(`${net.su}/${token}`)).status < 500, true);
  assert.equal((await get(`${net.mu}/`)).text, "ao messenger unit");
});

test("strange paths and parameters are refused, not followed", async () => {
  for (const path of ["..%2f..%2fetc%2fpasswd", "%00", "processes/%27%20OR%201=1", `${token}?process-id=${token}&limit=-1`, `${token}?process-id=${token}&from=abc`]) {
    const { status } = await get(`${net.su}/${path}`);
    assert.ok(status < 500, `${path}: ${status}`);
  }
});
