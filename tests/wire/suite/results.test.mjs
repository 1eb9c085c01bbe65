// The compute unit: result, results with paging, dryrun, and its plain endpoints.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, balance, bob, get, look, mallory, mintedToken, net, post, send, tag } from "./network.mjs";

const token = await mintedToken("1000");
const transfers = [];
for (let n = 1; n <= 7; n += 1) {
  const message = await send(token, { Action: "Transfer", Recipient: bob.address, Quantity: `${n}` });
  await ao.result({ process: token, message });
  transfers.push(message);
}
const quantities = ({ edges }) =>
  edges.map(({ node }) => node.Messages.find((m) => tag(m, "Action") === "Debit-Notice")).filter(Boolean).map((m) => tag(m, "Quantity"));
const decode = (cursor) => JSON.parse(Buffer.from(cursor, "base64").toString());

test("a result has Messages, Assignments, Spawns, Output and GasUsed, and no Memory", async () => {
  const { json } = await get(`${net.cu}/result/${transfers[0]}?process-id=${token}`);
  for (const key of ["Messages", "Assignments", "Spawns"]) assert.ok(Array.isArray(json[key]), key);
  assert.ok("Output" in json);
  assert.equal(typeof json.GasUsed, "number");
  assert.ok(!("Memory" in json));
  assert.ok(!("Error" in json));
});

test("a message of a result has Target, Anchor, Data and Tags with Reference", async () => {
  const { Messages } = await ao.result({ process: token, message: transfers[0] });
  for (const message of Messages) {
    assert.equal(typeof message.Target, "string");
    assert.match(message.Anchor, /^\d{32}$/);
    assert.equal(Number(tag(message, "Reference")), Number(message.Anchor));
    assert.equal(tag(message, "Data-Protocol"), "ao");
    assert.equal(tag(message, "Variant"), "ao.TN.1");
    assert.equal(tag(message, "Type"), "Message");
  }
});

test("references count up from 1 over the life of a process", async () => {
  const fresh = await mintedToken("10");
  const first = await ask(fresh, { Action: "Info" });
  const second = await ask(fresh, { Action: "Info" });
  assert.equal(Number(tag(second.Messages[0], "Reference")), Number(tag(first.Messages[0], "Reference")) + 1);
});

test("a message that fails gives the reference back", async () => {
  const fresh = await mintedToken("10");
  const first = await ask(fresh, { Action: "Info" });
  await ask(fresh, { Action: "Transfer" });
  const second = await ask(fresh, { Action: "Info" });
  assert.equal(Number(tag(second.Messages[0], "Reference")), Number(tag(first.Messages[0], "Reference")) + 1);
});

test("the same result is read twice alike", async () => {
  const one = await ao.result({ process: token, message: transfers[0] });
  const two = await ao.result({ process: token, message: transfers[0] });
  assert.deepEqual(one, two);
});

test("a result of an unknown message is an error, which the client hands through", async () => {
  const { status, json } = await get(`${net.cu}/result/${"u".repeat(43)}?process-id=${token}`);
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
  const through = await ao.result({ process: token, message: "u".repeat(43) });
  assert.deepEqual(through.Messages ?? [], []);
});

test("a result of an unknown process is an error", async () => {
  const { status, json } = await get(`${net.cu}/result/${transfers[0]}?process-id=${"p".repeat(43)}`);
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
});

test("a result without process-id is an error", async () => {
  const { status, json } = await get(`${net.cu}/result/${transfers[0]}`);
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
});

test("results are ascending by default and hold every evaluation", async () => {
  const found = await ao.results({ process: token, limit: 100 });
  assert.deepEqual(quantities(found), ["1", "2", "3", "4", "5", "6", "7"]);
});

test("results DESC are the newest first", async () => {
  const found = await ao.results({ process: token, sort: "DESC", limit: 3 });
  assert.deepEqual(quantities(found), ["7", "6", "5"]);
});

test("results are paged forwards: from is exclusive", async () => {
  const seen = [];
  let from;
  for (let page = 0; page < 20; page += 1) {
    const found = await ao.results({ process: token, from, limit: 2 });
    if (found.edges.length === 0) break;
    assert.ok(found.edges.length <= 2);
    seen.push(...found.edges.map(({ cursor }) => cursor));
    from = found.edges.at(-1).cursor;
  }
  const all = await ao.results({ process: token, limit: 100 });
  assert.deepEqual(seen, all.edges.map(({ cursor }) => cursor));
});

test("results are paged backwards by a cursor of a DESC page", async () => {
  const first = await ao.results({ process: token, sort: "DESC", limit: 2 });
  const second = await ao.results({ process: token, sort: "DESC", limit: 2, from: first.edges[1].cursor });
  assert.deepEqual([...quantities(first), ...quantities(second)], ["7", "6", "5", "4"]);
});

test("the sort inside a cursor wins over the parameter", async () => {
  const first = await ao.results({ process: token, sort: "DESC", limit: 2 });
  const second = await ao.results({ process: token, sort: "ASC", limit: 2, from: first.edges[1].cursor });
  assert.deepEqual(quantities(second), ["5", "4"]);
});

test("to is inclusive", async () => {
  const all = await ao.results({ process: token, limit: 100 });
  const some = await ao.results({ process: token, limit: 100, to: all.edges[3].cursor });
  assert.deepEqual(some.edges.map(({ cursor }) => cursor), all.edges.slice(0, 4).map(({ cursor }) => cursor));
});

test("from and to may be times in milliseconds", async () => {
  const all = await ao.results({ process: token, limit: 100 });
  const { timestamp } = decode(all.edges.at(-1).cursor);
  assert.deepEqual((await ao.results({ process: token, from: `${timestamp}`, limit: 100 })).edges, []);
  const until = await ao.results({ process: token, to: `${timestamp}`, limit: 100 });
  assert.equal(until.edges.length, all.edges.length);
});

test("a cursor is base64 JSON with timestamp, ordinate and sort", async () => {
  const { edges } = await ao.results({ process: token, limit: 100 });
  const decoded = edges.map(({ cursor }) => decode(cursor));
  for (const { timestamp, ordinate, sort } of decoded) {
    assert.ok(Number(timestamp) > 1.7e12);
    assert.ok(ordinate !== undefined);
    assert.equal(sort, "ASC");
  }
  const ordinates = decoded.map(({ ordinate }) => Number(ordinate));
  assert.deepEqual(ordinates, [...ordinates].sort((a, b) => a - b));
});

test("pageInfo says whether there are more", async () => {
  const some = (await get(`${net.cu}/results/${token}?limit=2`)).json;
  const all = (await get(`${net.cu}/results/${token}?limit=100`)).json;
  assert.equal(some.pageInfo.hasNextPage, true);
  assert.equal(all.pageInfo.hasNextPage, false);
});

test("without a limit a page holds 25", async () => {
  const busy = await mintedToken("100");
  let last;
  for (let n = 0; n < 30; n += 1) last = await send(busy, { Action: "Info" });
  await ao.result({ process: busy, message: last });
  assert.equal((await get(`${net.cu}/results/${busy}`)).json.edges.length, 25);
});

test("evaluations that ended in Error are left out of results", async () => {
  const fresh = await mintedToken("10");
  const before = (await ao.results({ process: fresh, limit: 100 })).edges.length;
  await ask(fresh, { Action: "Transfer" });
  assert.equal((await ao.results({ process: fresh, limit: 100 })).edges.length, before);
});

test("results of an unknown process are an error", async () => {
  const { status, json } = await get(`${net.cu}/results/${"p".repeat(43)}`);
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
});

test("a bad cursor, limit or sort is an error", async () => {
  for (const query of ["from=%21not-a-cursor", "limit=-1", "limit=0", "limit=many", "sort=SIDEWAYS"]) {
    const { status, json } = await get(`${net.cu}/results/${token}?${query}`);
    assert.ok(status === 400 || status === 500, `${query}: ${status}`);
    assert.equal(typeof json.error, "string", query);
  }
});

test("dryrun answers as a message does", async () => {
  const [reply] = (await look(token, { Action: "Balance", Recipient: bob.address })).Messages;
  assert.equal(reply.Data, await balance(token, bob.address));
});

test("dryrun leaves no trace: no balance, no result, no message", async () => {
  const before = [await balance(token, alice.address), (await ao.results({ process: token, limit: 100 })).edges.length];
  const { json: log } = await get(`${net.su}/${token}?process-id=${token}&limit=1000`);
  const dry = await look(token, { Action: "Transfer", Recipient: mallory.address, Quantity: "5" }, { Owner: alice.address });
  assert.equal(dry.Error, undefined);
  assert.equal(dry.Messages.length, 2);
  assert.equal(await balance(token, mallory.address), "0");
  const after = [await balance(token, alice.address), (await ao.results({ process: token, limit: 100 })).edges.length];
  assert.deepEqual(after, before);
  const { json: later } = await get(`${net.su}/${token}?process-id=${token}&limit=1000`);
  assert.equal(later.edges.length, log.edges.length);
});

test("a dryrun speaks for whom it says, since nothing is kept", async () => {
  const [reply] = (await look(token, { Action: "Balance" }, { Owner: bob.address })).Messages;
  assert.equal(tag(reply, "Account"), bob.address);
  assert.equal(reply.Target, bob.address);
});

test("a dryrun without Owner comes from the client's 1234", async () => {
  const [reply] = (await look(token, { Action: "Balance" })).Messages;
  assert.equal(tag(reply, "Account"), "1234");
});

test("a dryrun sees what the last message did", async () => {
  const fresh = await mintedToken("50");
  await send(fresh, { Action: "Transfer", Recipient: bob.address, Quantity: "20" });
  assert.equal(await balance(fresh, bob.address), "20");
});

test("a dryrun that fails has an Error", async () => {
  assert.match((await look(token, { Action: "Transfer" })).Error, /Recipient|Quantity/);
});

test("a dryrun of an unknown process is an error", async () => {
  const { status, json } = await post(`${net.cu}/dry-run?process-id=${"p".repeat(43)}`, JSON.stringify({ Id: "1", Owner: "1", Target: "p".repeat(43), Tags: [], Data: "" }), "application/json");
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
});

test("a dryrun whose body is no JSON is an error", async () => {
  const { status, json } = await post(`${net.cu}/dry-run?process-id=${token}`, "{", "application/json");
  assert.ok(status >= 400, `${status}`);
  assert.equal(typeof json.error, "string");
});

test("an action that nobody handles prints New Message From", async () => {
  const result = await ask(token, { Action: "Nothing-Known" });
  assert.match(JSON.stringify(result.Output), /New Message From/);
});

test("the Output of a message has data, prompt and print", async () => {
  const { Output } = await ask(token, { Action: "Nothing-Known" });
  assert.equal(typeof Output.data, "string");
  assert.equal(typeof Output.prompt, "string");
  assert.equal(Output.print, true);
});

test("the compute unit says its address and time", async () => {
  const { json } = await get(`${net.cu}/`);
  assert.match(json.address, /^[A-Za-z0-9_-]{43}$/);
  assert.ok(Number(json.timestamp) > 1.7e12);
});

test("the state of a process can be fetched as bytes, with what it stands on", async () => {
  const answer = await get(`${net.cu}/state/${token}`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /application\/octet-stream/);
  assert.ok(Number(answer.headers.get("last-timestamp")) > 1.7e12);
  assert.ok(answer.bytes.length > 0);
});

test("the state and a dry run can be had as of an earlier message", async () => {
  const points = await mintedToken("100");
  const first = await send(points, { Action: "Transfer", Recipient: bob.address, Quantity: "1" });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await ask(points, { Action: "Transfer", Recipient: bob.address, Quantity: "1" });
  const asked = JSON.stringify({ Owner: alice.address, Target: points, Tags: [{ name: "Action", value: "Balance" }] });
  const answer = await post(`${net.cu}/dry-run?process-id=${points}&to=${first}`, asked, "application/json");
  assert.equal(answer.json.Messages[0].Data, "99");
  const { edges } = (await get(`${net.su}/${points}?process-id=${points}`)).json;
  const past = await get(`${net.cu}/state/${points}?to=${edges[2].cursor}`);
  assert.equal(past.headers.get("last-ordinate"), "2");
  assert.equal(past.json.state.balances[alice.address], "99");
  assert.equal(await balance(points, alice.address), "98");
});

test("a moment before a process was there has no state", async () => {
  const { status, json } = await get(`${net.cu}/state/${token}?to=1000`);
  assert.equal(status, 500);
  assert.match(json.error, /not there yet/);
});

test("data that Content-Type calls JSON and is none is an Error result", async () => {
  const tags = { Action: "Info", "Content-Type": "application/json" };
  assert.match((await ask(token, tags, { data: "{bad" })).Error, /not valid JSON/);
  assert.equal((await ask(token, tags, { data: "[1]" })).Messages.length, 1);
});

test("any web page may ask: Access-Control-Allow-Origin is *", async () => {
  for (const url of [`${net.cu}/`, `${net.mu}/`]) {
    const answer = await get(url, { headers: { Origin: "http://example.org" } });
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  }
});
