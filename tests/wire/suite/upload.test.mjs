// Uploads: data that is no message, as AO's tools send it to a bundler.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, byAction, get, look, mallory, net, post, spawn, tag, graphql } from "./network.mjs";
import { item, MESSAGE } from "./items.mjs";

const questions = (await get(`${net.gateway}/${net.data.samples}`)).text.trim().split("\n");
const JSONL = [{ name: "Content-Type", value: "application/x-ndjson" }, { name: "Title", value: "Wire quiz" }];
const quiz = await item(alice, { tags: JSONL, data: questions.slice(0, 4).join("\n") });

test("an upload is answered with a receipt as turbo writes it", async () => {
  const { status, json } = await post(`${net.gateway}/tx`, quiz.bytes);
  assert.equal(status, 200);
  assert.equal(json.id, quiz.id);
  assert.equal(json.owner, alice.address);
  assert.equal(json.winc, "0");
  for (const list of [json.dataCaches, json.fastFinalityIndexes]) assert.equal(list.length, 1);
});

test("the same upload again is 202, for any token, and under /v1", async () => {
  for (const path of ["tx", "tx/arweave", "v1/tx", "v1/tx/solana"]) {
    assert.equal((await post(`${net.gateway}/${path}`, quiz.bytes)).status, 202, path);
  }
});

test("what was uploaded is read back by its id, with its Content-Type", async () => {
  for (const path of [quiz.id, `raw/${quiz.id}`]) {
    const { status, text, headers } = await get(`${net.gateway}/${path}`);
    assert.equal(status, 200);
    assert.equal(text, questions.slice(0, 4).join("\n"));
    assert.match(headers.get("content-type"), /application\/x-ndjson/);
  }
});

test("an upload is described at /tx/ID and found by GraphQL", async () => {
  const { json } = await get(`${net.gateway}/tx/${quiz.id}`);
  assert.equal(json.owner, alice.jwk.n);
  assert.equal(Buffer.from(json.tags[1].value, "base64url").toString(), "Wire quiz");
  const query = '{ transactions(tags: [{name: "Title", values: ["Wire quiz"]}]) { edges { node { id owner { address } } } } }';
  const [{ node }] = (await graphql(query)).transactions.edges;
  assert.deepEqual(node, { id: quiz.id, owner: { address: alice.address } });
});

test("an uploaded JSONL file is the data set of a pool's dataset process", async () => {
  const dataset = await spawn("SiqaDataset", { DataTxID: quiz.id });
  const info = byAction(await look(dataset, { Action: "Info" }), "Info");
  assert.equal(tag(info, "Samples"), "4");
});

test("an upload whose signature does not hold is 400 and not kept", async () => {
  const { bytes, id } = await item(mallory, { data: "worth a lot" });
  bytes[bytes.length - 1] ^= 1;
  assert.equal((await post(`${net.gateway}/tx`, bytes)).status, 400);
  assert.equal((await get(`${net.gateway}/${id}`)).status, 404);
});

test("a message is no upload: it goes to the messenger unit", async () => {
  const { bytes } = await item(alice, { target: net.data.samples, tags: MESSAGE });
  const { status, json } = await post(`${net.gateway}/tx`, bytes);
  assert.equal(status, 400);
  assert.match(json.error, /messenger unit/);
});
