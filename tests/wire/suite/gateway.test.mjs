// The gateway: GraphQL as the clients ask it, and items by id.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, get, ID, mintedToken, net, post, send, spawn, values, graphql } from "./network.mjs";

const token = await mintedToken("1000", { Name: "Gateway Points" });
const nodes = ({ transactions }) => transactions.edges.map(({ node }) => node);

test("a module is found by its id, with all tags that spawn needs", async () => {
  const [module] = nodes(await graphql("query ($ids: [ID!]!) { transactions(ids: $ids) { edges { node { id owner { address } tags { name value } block { id height timestamp } } } } }", { ids: [net.modules.WrappedAR] }));
  assert.equal(module.id, net.modules.WrappedAR);
  for (const [name, value] of [["Data-Protocol", "ao"], ["Type", "Module"]]) assert.deepEqual(values(module.tags, name), [value]);
  for (const name of ["Module-Format", "Input-Encoding", "Output-Encoding"]) assert.equal(values(module.tags, name).length, 1, name);
  assert.match(module.owner.address, ID);
});

test("modules are found by their tags", async () => {
  const found = nodes(await graphql('{ transactions(first: 100, tags: [{name: "Data-Protocol", values: ["ao"]}, {name: "Type", values: ["Module"]}]) { edges { node { id } } } }'));
  const ids = found.map(({ id }) => id);
  for (const [name, id] of Object.entries(net.modules)) assert.ok(ids.includes(id), name);
});

test("the Scheduler-Location of the network has Url and Time-To-Live", async () => {
  const [location] = nodes(await graphql('query ($owners: [String!]!) { transactions(owners: $owners, tags: [{name: "Data-Protocol", values: ["ao"]}, {name: "Type", values: ["Scheduler-Location"]}], sort: HEIGHT_DESC, first: 1) { edges { node { tags { name value } } } } }', { owners: [net.scheduler] }));
  const url = values(location.tags, "Url")[0];
  assert.match(url, /^http/);
  assert.match(values(location.tags, "Time-To-Live")[0], /^\d+$/);
});

test("a process is found by its id, owner, recipient and block", async () => {
  const [process] = nodes(await graphql("query ($ids: [ID!]!) { transactions(ids: $ids) { edges { cursor node { id anchor signature recipient owner { address key } fee { winston ar } quantity { winston ar } data { size type } tags { name value } block { id timestamp height previous } parent { id } } } pageInfo { hasNextPage } } }", { ids: [token] }));
  assert.equal(process.id, token);
  assert.equal(process.owner.address, alice.address);
  assert.ok(Number(process.block.height) > 0);
  assert.deepEqual(values(process.tags, "Module"), [net.modules.WrappedAR]);
});

test("a process is found by its name, as aos looks for it; an empty owner does no harm", async () => {
  const query = 'query ($owners: [String!]!, $names: [String!]!) { transactions(first: 1, owners: $owners, tags: [{name: "Data-Protocol", values: ["ao"]}, {name: "Type", values: ["Process"]}, {name: "Name", values: $names}]) { edges { node { id } } } }';
  const found = nodes(await graphql(query, { owners: [alice.address, ""], names: ["Gateway Points"] }));
  assert.ok(found.some(({ id }) => id === token));
});

test("a message is found by its recipient", async () => {
  const message = await send(token, { Action: "Info" });
  const found = nodes(await graphql("query ($to: [String!]!) { transactions(recipients: $to, first: 100) { edges { node { id recipient } } } }", { to: [token] }));
  assert.ok(found.some(({ id, recipient }) => id === message && recipient === token));
});

test("several values of a tag mean any of them, several tags all of them", async () => {
  const query = '{ transactions(first: 100, tags: [{name: "Name", values: ["Gateway Points", "Nobody"]}, {name: "Type", values: ["Process"]}]) { edges { node { id } } } }';
  assert.ok(nodes(await graphql(query)).some(({ id }) => id === token));
  const none = '{ transactions(tags: [{name: "Name", values: ["Gateway Points"]}, {name: "Type", values: ["Module"]}]) { edges { node { id } } } }';
  assert.deepEqual(nodes(await graphql(none)), []);
});

test("no match is an empty list of edges", async () => {
  const { transactions } = await graphql("query ($ids: [ID!]!) { transactions(ids: $ids) { pageInfo { hasNextPage } edges { node { id } } } }", { ids: ["n".repeat(43)] });
  assert.deepEqual(transactions, { pageInfo: { hasNextPage: false }, edges: [] });
});

test("first and after page through transactions", async () => {
  for (let n = 0; n < 3; n += 1) await spawn("WrappedAR", { Name: "Paged" });
  const query = 'query ($after: String) { transactions(first: 2, after: $after, tags: [{name: "Name", values: ["Paged"]}]) { pageInfo { hasNextPage } edges { cursor node { id } } } }';
  const first = (await graphql(query)).transactions;
  assert.equal(first.edges.length, 2);
  assert.equal(first.pageInfo.hasNextPage, true);
  const second = (await graphql(query, { after: first.edges[1].cursor })).transactions;
  const ids = [...first.edges, ...second.edges].map(({ node }) => node.id);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(second.edges.length >= 1);
});

test("HEIGHT_ASC and HEIGHT_DESC are opposite orders", async () => {
  const query = (sort) => `{ transactions(first: 100, sort: ${sort}, tags: [{name: "Name", values: ["Paged"]}]) { edges { node { id } } } }`;
  const up = nodes(await graphql(query("HEIGHT_ASC"))).map(({ id }) => id);
  const down = nodes(await graphql(query("HEIGHT_DESC"))).map(({ id }) => id);
  assert.ok(up.length >= 3);
  assert.deepEqual(down, up.toReversed());
});

test("GraphQL that cannot be read is answered with errors, not a crash", async () => {
  const answer = await post(net.graphql, JSON.stringify({ query: "{ transactions( }" }), "application/json");
  assert.ok(answer.status >= 400 || answer.json.errors, answer.text);
  assert.ok((await post(net.graphql, "{", "application/json")).status >= 400);
  assert.equal((await get(`${net.mu}/`)).status, 200);
});

test("GET of an id is the raw data of the item", async () => {
  const message = await send(token, { Action: "Note" }, { data: "kept for good" });
  const answer = await get(`${net.gateway}/${message}`);
  assert.equal(answer.status, 200);
  assert.equal(answer.text, "kept for good");
});

test("HEAD of an id tells whether there is such an item", async () => {
  assert.equal((await fetch(`${net.gateway}/${token}`, { method: "HEAD" })).status, 200);
  assert.equal((await fetch(`${net.gateway}/${"n".repeat(43)}`, { method: "HEAD" })).status, 404);
});

test("GET of an unknown id is 404", async () => {
  assert.equal((await get(`${net.gateway}/${"n".repeat(43)}`)).status, 404);
});

test("the gateway's root tells its height", async () => {
  const { json } = await get(`${net.gateway}/`);
  assert.ok(Number(json.height) > 0, JSON.stringify(json));
});

test("a notice to a wallet is stored and found by its recipient", async () => {
  const message = await send(token, { Action: "Info" });
  await ao.result({ process: token, message });
  const query = 'query ($to: [String!]!) { transactions(first: 100, recipients: $to, tags: [{name: "From-Process", values: ["' + token + '"]}]) { edges { node { id tags { name value } } } } }';
  let found = [];
  for (let n = 0; n < 100 && found.length === 0; n += 1) {
    found = nodes(await graphql(query, { to: [alice.address] }));
    if (!found.length) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(found.length > 0);
});

test("devices of HyperBEAM that are not here are 404, with a sentence", async () => {
  for (const path of ["~relay@1.0/call", "~cron@1.0/every", "~meta@1.0/build"]) {
    const { status, json } = await get(`${net.gateway}/${path}`);
    assert.equal(status, 404, path);
    assert.ok(json.error, path);
  }
});

test("a module's data is its Python source, not WASM", async () => {
  const { text } = await get(`${net.gateway}/${net.modules.WrappedAR}`);
  assert.match(text, /class WrappedAR/);
});
