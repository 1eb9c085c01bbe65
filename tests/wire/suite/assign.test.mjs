// assign, monitor and unmonitor, and the ticks of cron.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, get, ID, mallory, mintedToken, net, post, send, spawn, tag, until, values } from "./network.mjs";

const token = await mintedToken("1000");
const EVERY_SECOND = [
  { name: "Cron-Interval", value: "1-second" },
  { name: "Cron-Tag-Action", value: "Info" },
  { name: "Cron-Tag-X-Tick", value: "yes" },
];
const ticks = async (process) => {
  const { edges } = await ao.results({ process, sort: "DESC", limit: 50 });
  return edges.filter(({ node }) => node.Messages.some((message) => tag(message, "Denomination")));
};

test("assign schedules a message for another process and returns the assignment's id", async () => {
  const other = await spawn("WrappedAR");
  const message = await send(token, { Action: "Info" });
  const assignment = await ao.assign({ process: other, message });
  assert.match(assignment, ID);
  const { json } = await get(`${net.su}/${assignment}?process-id=${other}`);
  assert.deepEqual(values(json.assignment.tags, "Message"), [message]);
  assert.deepEqual(values(json.assignment.tags, "Process"), [other]);
});

test("an assigned message that the process did not ask for is not trusted", async () => {
  const other = await spawn("WrappedAR");
  const message = await send(token, { Action: "Mint", Quantity: "5" });
  const assignment = await ao.assign({ process: other, message });
  const result = await ao.result({ process: other, message });
  assert.equal(result.Output.data, `Assignment is not trusted! From: ${alice.address} - Owner: ${alice.address}`);
  assert.deepEqual(result.Messages.map(({ Target, Data }) => [Target, Data]), [[alice.address, "Assignment is not trusted by this process!"]]);
  assert.match(assignment, ID);
});

test("assign of an unknown message throws", async () => {
  await assert.rejects(ao.assign({ process: token, message: "u".repeat(43) }));
});

test("assign to an unknown process throws", async () => {
  const message = await send(token, { Action: "Info" });
  await assert.rejects(ao.assign({ process: "p".repeat(43), message }));
});

test("assign with only one of its parameters is 400", async () => {
  assert.equal((await post(`${net.mu}/?process-id=${token}`, "")).status, 400);
  assert.equal((await post(`${net.mu}/?assign=${token}`, "")).status, 400);
});

test("assign with exclude names the fields in the assignment", async () => {
  const other = await spawn("WrappedAR");
  const message = await send(token, { Action: "Info" }, { data: "whole" });
  const assignment = await ao.assign({ process: other, message, exclude: ["Data", "Tags"] });
  const { json } = await get(`${net.su}/${assignment}?process-id=${other}`);
  assert.deepEqual(values(json.assignment.tags, "Exclude"), ["Data", "Tags"]);
});

test("assign of a transaction of the base layer throws: there is none", async () => {
  await assert.rejects(ao.assign({ process: token, message: "b".repeat(43), baseLayer: true }));
});

test("a monitored cron ticks and its messages are in results", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  const answer = await ao.monitor({ process, signer: alice.signer });
  assert.match(answer, ID);
  const found = await until("a tick", async () => (await ticks(process))[0]);
  assert.ok(found.node.Messages.length > 0);
  await ao.unmonitor({ process, signer: alice.signer });
});

test("a cron ticks here without a monitor too", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await until("a tick", async () => (await ticks(process)).length >= 1);
});

test("a tick's cursor says which cron it was", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await ao.monitor({ process, signer: alice.signer });
  const { cursor } = await until("a tick", async () => (await ticks(process))[0]);
  const decoded = JSON.parse(Buffer.from(cursor, "base64").toString());
  assert.equal(typeof decoded.cron, "string");
  await ao.unmonitor({ process, signer: alice.signer });
});

test("ticks take no nonce: the scheduler knows nothing of them", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await ao.monitor({ process, signer: alice.signer });
  await until("two ticks", async () => (await ticks(process)).length >= 2);
  await ao.unmonitor({ process, signer: alice.signer });
  const { json } = await get(`${net.su}/${process}?process-id=${process}`);
  assert.equal(json.edges.length, 1);
});

test("the ticks of a process are listed by themselves", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await ao.monitor({ process, signer: alice.signer });
  await until("a tick", async () => (await ticks(process)).length >= 1);
  await ao.unmonitor({ process, signer: alice.signer });
  const { status, json } = await get(`${net.cu}/cron/${process}`);
  assert.equal(status, 200);
  assert.ok(json.edges.length >= 1);
});

test("monitor a second time throws: already being monitored", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await ao.monitor({ process, signer: alice.signer });
  await assert.rejects(ao.monitor({ process, signer: alice.signer }), /already being monitored|Error/);
  const again = await get(`${net.mu}/`);
  assert.equal(again.status, 200);
  await ao.unmonitor({ process, signer: alice.signer });
});

test("unmonitor without monitor throws", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await assert.rejects(ao.unmonitor({ process, signer: alice.signer }));
});

test("monitor of an unknown process throws", async () => {
  await assert.rejects(ao.monitor({ process: "p".repeat(43), signer: alice.signer }));
});

test("monitor with an unsigned body is refused", async () => {
  const answer = await post(`${net.mu}/monitor/${token}`, "no item");
  assert.ok(answer.status >= 400);
  assert.equal(typeof answer.json.error, "string");
});

test("anybody may stop a monitor, as on AO, and the ticks go on all the same", async () => {
  const process = await spawn("WrappedAR", EVERY_SECOND);
  await ao.monitor({ process, signer: alice.signer });
  await ao.unmonitor({ process, signer: mallory.signer });
  await assert.rejects(ao.unmonitor({ process, signer: alice.signer }));
  const before = (await ticks(process)).length;
  await until("a further tick", async () => (await ticks(process)).length > before);
});

test("a Cron-Interval under a second is refused", async () => {
  const tooOften = [{ name: "Cron-Interval", value: "10-milliseconds" }];
  await assert.rejects(spawn("WrappedAR", tooOften), /under one second/);
});

test("a Cron-Tag before any Cron-Interval is refused", async () => {
  const loose = [{ name: "Cron-Tag-Action", value: "Info" }];
  await assert.rejects(spawn("WrappedAR", loose), /Cron-Interval/);
});
