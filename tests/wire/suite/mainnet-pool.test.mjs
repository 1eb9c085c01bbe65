// A pool in the client's main-network mode: minted, deployed, funded, joined, evaluated, paid.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, bob, net, tag, until } from "./network.mjs";
import { main, mainAsk, mainLook, mainSpawn, push, valueAt } from "./mainnet.mjs";

const FUNDS = 1000;
const timed = { timeout: 180_000 };
const pool = {};
// This client sends a tag that is given twice once, so a process has one cron.
const every = (interval, action) => ({ "Cron-Interval": interval, "Cron-Tag-Action": action });
const held = async (account) => {
  const found = await valueAt(pool.token, `now/balances/${account}`);
  return found === 404 ? 0 : Number(found);
};

test("the processes of a pool are spawned", timed, async () => {
  pool.token = await mainSpawn("WrappedAR");
  await mainAsk(pool.token, { Action: "Mint", Quantity: "5000" });
  pool.benchmark = await mainSpawn("Benchmark", { WrappedAR: pool.token, ...every("1-second", "Allocate-Rewards") });
  pool.router = await mainSpawn("LlamaRouter");
  pool.dataset = await mainSpawn("SiqaDataset", {
    DataTxID: net.data.samples,
    LlamaRouter: pool.router,
    WrappedAR: pool.token,
    Benchmark: pool.benchmark,
    ...every("1-second", "Evaluate"),
  });
  const router = { Router: pool.router, "Model-Data": net.data.model, "Model-Name": "smollm2-135m" };
  pool.model = await mainSpawn("LlamaWorker", router, { from: bob });
  await until("the worker", async () => {
    const { Messages } = await mainLook(pool.model, { Action: "Info" });
    return Messages.length > 0 && tag(Messages[0], "Loaded") === "true";
  }, 60);
});

test("a Transfer with X-Dataset and X-Allocation makes a pool", timed, async () => {
  await until("the data set's registration", async () => {
    await push(pool.token, {
      Action: "Transfer",
      Recipient: pool.benchmark,
      Quantity: `${FUNDS}`,
      "X-Dataset": pool.dataset,
      "X-Allocation": "WinnerTakesAll",
      "X-Eligible": "all",
      "X-Duration": "15s",
    });
    const { Messages } = await mainLook(pool.benchmark, { Action: "Get-Pools" });
    pool.id = JSON.parse(Messages[0].Data)[0]?.id;
    return pool.id;
  });
  assert.equal(await held(pool.benchmark), FUNDS);
  assert.equal(await valueAt(pool.benchmark, `now/pools/${pool.id}/funds`), `${FUNDS}`);
});

test("a model joins the pool, and is paid after its end", timed, async () => {
  const data = JSON.stringify({ dataset: pool.id, model: pool.model });
  await until("the model's registration", async () => {
    const { Messages } = await mainAsk(pool.benchmark, { Action: "Join-Pool" }, { from: bob, data });
    return !Messages.some((each) => tag(each, "Action") === "Join-Pool-Error");
  });
  await until("the payout", async () => (await held(bob.address)) === FUNDS, 120);
  const sum = (await held(alice.address)) + (await held(bob.address)) + (await held(pool.benchmark));
  assert.equal(sum, 5000);
});

test("the state of the pool is a plain URL", timed, async () => {
  await until("the pool to be paid", async () =>
    (await valueAt(pool.benchmark, `now/pools/${pool.id}/status`)) === "paid");
  const [row] = await valueAt(pool.benchmark, `now/pools/${pool.id}/leaderboard`);
  assert.deepEqual([row.rank, row.model, row.participant], [1, pool.model, bob.address]);
  assert.equal(await valueAt(pool.benchmark, `now/pools/${pool.id}/leaderboard/1/reward`), `${FUNDS}`);
  const { edges } = await main(alice).results({ process: pool.benchmark });
  assert.equal(edges.length, 1);
});
