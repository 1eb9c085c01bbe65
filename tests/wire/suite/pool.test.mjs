// A whole pool from JavaScript: mint, deploy, fund, join, evaluate with a real model, rank, pay.
//
// Time is the wall's here, so the pool lasts seconds and its crons tick every second.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, balance, bob, byAction, get, look, mallory, net, send, spawn, tag, until, values } from "./network.mjs";

const FUNDS = 1000n;
const every = (interval, action) => [
  { name: "Cron-Interval", value: interval },
  { name: "Cron-Tag-Action", value: action },
];
const pool = {};
const timed = { timeout: 180_000 };
const board = async () =>
  JSON.parse((await look(pool.benchmark, { Action: "Leaderboard", Pool: pool.id })).Messages[0].Data);
const mail = (process, action, target) =>
  until(`${action} for ${target}`, async () => {
    const { edges } = await ao.results({ process, sort: "DESC", limit: 100 });
    for (const { node } of edges) {
      const found = node.Messages.find((m) => tag(m, "Action") === action && m.Target === target);
      if (found) return found;
    }
    return undefined;
  }, 60);

test("the processes of a pool are spawned and find each other", timed, async () => {
  pool.token = await spawn("WrappedAR");
  await ask(pool.token, { Action: "Mint", Quantity: "5000" });
  pool.benchmark = await spawn("Benchmark", [
    { name: "WrappedAR", value: pool.token },
    ...every("1-second", "Update-Leaderboard"),
    ...every("1-second", "Allocate-Rewards"),
  ]);
  pool.router = await spawn("LlamaRouter");
  pool.dataset = await spawn("SiqaDataset", [
    { name: "DataTxID", value: net.data.samples },
    { name: "LlamaRouter", value: pool.router },
    { name: "WrappedAR", value: pool.token },
    { name: "Benchmark", value: pool.benchmark },
    ...every("1-second", "Evaluate"),
  ]);
  await mail(pool.benchmark, "Register-Dataset-Response", pool.dataset);
  for (const process of [pool.benchmark, pool.dataset]) await ao.monitor({ process, signer: alice.signer });
  const info = byAction(await look(pool.dataset, { Action: "Info" }), "Info");
  assert.equal(tag(info, "Samples"), "6");
});

test("a model is a process: it loads its weights and registers with the router", timed, async () => {
  pool.model = await spawn(
    "LlamaWorker",
    { Router: pool.router, "Model-Data": net.data.model, "Model-Name": "smollm2-135m" },
    { from: bob },
  );
  await mail(pool.router, "Register-Worker-Response", pool.model);
  const info = byAction(await look(pool.model, { Action: "Info" }), "Info");
  assert.equal(tag(info, "Loaded"), "true");
  assert.equal(tag(info, "Weights"), net.data.model);
});

test("a funder who names no such data set gets everything back", timed, async () => {
  const before = await balance(pool.token, alice.address);
  await send(pool.token, { Action: "Transfer", Recipient: pool.benchmark, Quantity: "7", "X-Dataset": pool.token, "X-Allocation": "Equal" });
  const refund = await mail(pool.benchmark, "Transfer", pool.token);
  assert.ok(tag(refund, "X-Error"));
  await until("the refund", async () => (await balance(pool.token, alice.address)) === before);
});

test("a transfer to the Benchmark makes a pool", timed, async () => {
  await send(pool.token, {
    Action: "Transfer",
    Recipient: pool.benchmark,
    Quantity: `${FUNDS}`,
    "X-Dataset": pool.dataset,
    "X-Allocation": "WinnerTakesAll",
    "X-Eligible": "all",
    "X-Duration": "20s",
  });
  const created = await mail(pool.benchmark, "Pool-Created", alice.address);
  pool.id = tag(created, "Pool");
  assert.equal(tag(created, "Funds"), `${FUNDS}`);
  assert.equal(await balance(pool.token, pool.benchmark), `${FUNDS}`);
});

test("a model joins the pool", timed, async () => {
  const data = JSON.stringify({ dataset: pool.id, model: pool.model });
  await send(pool.benchmark, { Action: "Join-Pool" }, { from: bob, data });
  const joined = await mail(pool.benchmark, "Joined-Pool", bob.address);
  assert.equal(tag(joined, "Model"), pool.model);
});

test("the same model may not join twice", timed, async () => {
  const data = JSON.stringify({ dataset: pool.id, model: pool.model });
  await send(pool.benchmark, { Action: "Join-Pool" }, { from: mallory, data });
  const refused = await mail(pool.benchmark, "Join-Pool-Error", mallory.address);
  assert.ok(tag(refused, "Error"));
});

test("every question is answered by the real model", timed, async () => {
  const score = await until("all answers", async () => {
    const reply = (await look(pool.dataset, { Action: "Score", Model: pool.model })).Messages[0];
    return tag(reply, "Evaluated") === "6" && reply;
  }, 120);
  pool.correct = tag(score, "Correct");
  assert.equal(tag(score, "Progress"), "1.000000");
  assert.match(tag(score, "Score"), /^[01]\.\d{6}$/);
});

test("the answers are what the model's log-likelihoods say", timed, async () => {
  const { edges } = await ao.results({ process: pool.model, limit: 100 });
  const answers = edges.flatMap(({ node }) => node.Messages).filter((m) => tag(m, "Action") === "Inference-Response");
  assert.equal(answers.length, 6);
  for (const answer of answers) {
    const { log_likelihoods: found } = JSON.parse(answer.Data);
    assert.equal(found.length, 3);
    assert.ok(found.every(({ nats, tokens }) => nats < 0 && tokens > 0));
    assert.equal(tag(answer, "Weights"), net.data.model);
  }
  assert.equal(new Set(answers.map((answer) => answer.Data)).size, 6);
});

test("the leaderboard ranks the model, with the score of the data set", timed, async () => {
  const [row] = await until("the leaderboard", async () => {
    const rows = await board();
    return rows[0]?.evaluated === 6 && rows;
  });
  assert.equal(row.rank, 1);
  assert.equal(row.model, pool.model);
  assert.equal(row.participant, bob.address);
  assert.equal(`${row.correct}`, pool.correct);
});

test("after its end the pool is paid, to the last winston", timed, async () => {
  const facts = await until("the payout", async () => {
    const found = JSON.parse((await look(pool.benchmark, { Action: "Get-Pool", Pool: pool.id })).Messages[0].Data);
    return found.status === "paid" && found;
  }, 90);
  assert.equal(BigInt(facts.funds), FUNDS);
  assert.equal(await balance(pool.token, bob.address), `${FUNDS}`);
  assert.equal(await balance(pool.token, pool.benchmark), "0");
  assert.equal(await balance(pool.token, alice.address), `${5000n - FUNDS}`);
});

test("the winner is told by a Credit-Notice with the pool and rank", timed, async () => {
  const notice = await mail(pool.token, "Credit-Notice", bob.address);
  assert.equal(tag(notice, "X-Pool"), pool.id);
  assert.equal(tag(notice, "X-Rank"), "1");
  assert.equal(tag(notice, "Quantity"), `${FUNDS}`);
});

test("supply is what was minted", timed, async () => {
  const held = JSON.parse((await look(pool.token, { Action: "Balances" })).Messages[0].Data);
  const sum = Object.values(held).reduce((total, amount) => total + BigInt(amount), 0n);
  assert.equal(sum, 5000n);
});

test("a pool that nobody joins goes back to its funder", timed, async () => {
  const before = await balance(pool.token, alice.address);
  await send(pool.token, {
    Action: "Transfer",
    Recipient: pool.benchmark,
    Quantity: "11",
    "X-Dataset": pool.dataset,
    "X-Allocation": "Equal",
    "X-Duration": "2s",
    "X-Title": "nobody",
  });
  const pools = () => look(pool.benchmark, { Action: "Get-Pools" });
  await until("the refund", async () => {
    const found = JSON.parse((await pools()).Messages[0].Data).find(({ title }) => title === "nobody");
    return found?.status === "refunded";
  });
  assert.equal(await balance(pool.token, alice.address), before);
});

test("every message of the pool is in its process's hash chain", timed, async () => {
  for (const process of [pool.token, pool.benchmark, pool.dataset, pool.router, pool.model]) {
    const { json } = await get(`${net.su}/${process}?process-id=${process}&limit=1000`);
    const nonces = json.edges.map(({ node }) => Number(values(node.assignment.tags, "Nonce")[0]));
    assert.deepEqual(nonces, nonces.map((_, n) => n));
  }
});
