// The four calls that ask AO's scheduler-utils where a process is scheduled.
//
// scheduler-utils first asks a router of AO's testnet whose address is written into it. It cannot be
// configured away, so this file answers for that one host, with 404; everything else goes out.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const facts = JSON.parse(readFileSync(process.env.BENCHPOOL_WIRE, "utf8"));
process.env.GRAPHQL_URL = facts.graphql; // scheduler-utils reads it when it is imported
const network = globalThis.fetch;
const asked = [];
globalThis.fetch = (url, options) => {
  const { hostname } = new URL(`${url?.url ?? url}`);
  if (hostname.endsWith("ao-testnet.xyz")) {
    asked.push(hostname);
    return Promise.resolve(new Response("{}", { status: 404 }));
  }
  return network(url, options);
};
const { alice, ao, mintedToken, net, send, values } = await import("./network.mjs");
const token = await mintedToken("1000");
const message = await send(token, { Action: "Info" });

test("message with returnAssignmentSlot gives the nonce as slot", async () => {
  const tags = [{ name: "Action", value: "Info" }];
  const slot = await ao.message({ process: token, tags, signer: alice.signer, returnAssignmentSlot: true });
  assert.equal(Number(slot), 3);
});

test("getMessageById finds a message through GraphQL and the Scheduler-Location", async () => {
  const found = await ao.getMessageById({ processId: token, messageId: message });
  assert.equal(found.message.id, message);
  assert.deepEqual(values(found.assignment.tags, "Process"), [token]);
});

test("getMessages lists a process's messages between two times", async () => {
  const to = `${Date.now() + 60_000}`;
  const { edges } = await ao.getMessages({ processId: token, from: "0", to, limit: "50" });
  assert.deepEqual(edges.map(({ node }) => node.message.id).slice(0, 1), [token]);
  assert.ok(edges.some(({ node }) => node.message.id === message));
});

test("getLastSlot is the newest nonce", async () => {
  const { edges } = await (await network(`${net.su}/${token}?process-id=${token}&limit=1000`)).json();
  const last = values(edges.at(-1).node.assignment.tags, "Nonce")[0];
  assert.equal(await ao.getLastSlot({ processId: token }), last);
});

test("the testnet's router was asked first, as always", () => {
  assert.ok(asked.length > 0);
});
