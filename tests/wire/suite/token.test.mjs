// The ao standard token, used as any wallet uses it: spawn, ask, transfer, read the notices.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alice, ao, ask, balance, bob, byAction, ID, look, mallory, mintedToken, net, send, spawn, tag, until } from "./network.mjs";

const token = await mintedToken("1000", { Name: "Points", Ticker: "PTS", Denomination: "3" });

test("spawn returns the id of a process", async () => {
  assert.match(await spawn("WrappedAR"), ID);
});

test("a token without tags has AO's defaults: twelve decimals", async () => {
  const [info] = (await look(await spawn("WrappedAR"), { Action: "Info" })).Messages;
  assert.equal(tag(info, "Denomination"), "12");
});

test("Info tells Name, Ticker and Denomination", async () => {
  const [info] = (await ask(token, { Action: "Info" })).Messages;
  assert.equal(tag(info, "Name"), "Points");
  assert.equal(tag(info, "Ticker"), "PTS");
  assert.equal(tag(info, "Denomination"), "3");
  assert.equal(info.Target, alice.address);
});

test("Balance without Recipient is the sender's, as tag and as data", async () => {
  const [reply] = (await ask(token, { Action: "Balance" })).Messages;
  assert.equal(tag(reply, "Account"), alice.address);
  assert.equal(tag(reply, "Ticker"), "PTS");
  assert.equal(tag(reply, "Balance"), reply.Data);
});

test("Balance of a Recipient, and by the tag Target", async () => {
  const [one] = (await ask(token, { Action: "Balance", Recipient: bob.address })).Messages;
  const [two] = (await ask(token, { Action: "Balance", Target: bob.address })).Messages;
  assert.equal(tag(one, "Account"), bob.address);
  assert.equal(tag(two, "Account"), bob.address);
});

test("an account that nobody knows holds 0", async () => {
  assert.equal(await balance(token, "x".repeat(43)), "0");
});

test("Balances is a JSON object of decimal strings", async () => {
  const [reply] = (await ask(token, { Action: "Balances" })).Messages;
  const held = JSON.parse(reply.Data);
  assert.equal(typeof held[alice.address], "string");
});

test("Transfer moves the amount and answers with both notices, Debit first", async () => {
  const fresh = await mintedToken("100");
  const result = await ask(fresh, { Action: "Transfer", Recipient: bob.address, Quantity: "30" });
  assert.deepEqual(result.Messages.map((message) => tag(message, "Action")), ["Debit-Notice", "Credit-Notice"]);
  const [debit, credit] = result.Messages;
  assert.equal(debit.Target, alice.address);
  assert.equal(tag(debit, "Recipient"), bob.address);
  assert.equal(tag(debit, "Quantity"), "30");
  assert.equal(credit.Target, bob.address);
  assert.equal(tag(credit, "Sender"), alice.address);
  assert.equal(tag(credit, "Quantity"), "30");
  assert.equal(await balance(fresh, alice.address), "70");
  assert.equal(await balance(fresh, bob.address), "30");
});

test("both notices carry the X- tags and no other tag of the Transfer", async () => {
  const result = await ask(token, { Action: "Transfer", Recipient: bob.address, Quantity: "1", "X-Order": "7", Memo: "no" });
  for (const notice of result.Messages) {
    assert.equal(tag(notice, "X-Order"), "7");
    assert.equal(tag(notice, "Memo"), undefined);
  }
});

test("a Transfer with Cast sends no notices", async () => {
  const before = BigInt(await balance(token, bob.address));
  const result = await ask(token, { Action: "Transfer", Recipient: bob.address, Quantity: "2", Cast: "true" });
  assert.deepEqual(result.Messages, []);
  assert.equal(BigInt(await balance(token, bob.address)), before + 2n);
});

test("a Transfer beyond the balance is a Transfer-Error, not an Error result", async () => {
  const message = await send(token, { Action: "Transfer", Recipient: bob.address, Quantity: "5" }, { from: mallory });
  const result = await ao.result({ process: token, message });
  const refusal = byAction(result, "Transfer-Error");
  assert.equal(result.Error, undefined);
  assert.equal(tag(refusal, "Message-Id"), message);
  assert.equal(tag(refusal, "Error"), "Insufficient Balance!");
  assert.equal(await balance(token, mallory.address), "0");
});

test("a Transfer without Recipient is an Error result and changes nothing", async () => {
  const before = await balance(token, alice.address);
  const result = await ask(token, { Action: "Transfer", Quantity: "1" });
  assert.match(result.Error, /Recipient/);
  assert.deepEqual(result.Messages ?? [], []);
  assert.equal(await balance(token, alice.address), before);
});

test("a Transfer without Quantity is an Error result", async () => {
  assert.match((await ask(token, { Action: "Transfer", Recipient: bob.address })).Error, /Quantity/);
});

test("a Quantity of zero, below zero or not whole is an Error result", async () => {
  for (const Quantity of ["0", "-5", "1.5", "ten", ""]) {
    const result = await ask(token, { Action: "Transfer", Recipient: bob.address, Quantity });
    assert.match(result.Error, /[Qq]uantity/, `Quantity ${JSON.stringify(Quantity)}`);
  }
});

test("amounts far beyond 64 bits stay exact", async () => {
  const huge = "123456789012345678901234567890123456789";
  const large = await mintedToken(huge);
  await ask(large, { Action: "Transfer", Recipient: bob.address, Quantity: huge });
  assert.equal(await balance(large, bob.address), huge);
});

test("a transfer to oneself changes no balance", async () => {
  const before = await balance(token, alice.address);
  await ask(token, { Action: "Transfer", Recipient: alice.address, Quantity: "10" });
  assert.equal(await balance(token, alice.address), before);
});

test("of a tag that is there twice the last counts, as at the root of aos", async () => {
  const fresh = await mintedToken("10");
  const twice = [["Action", "Info"], ["Quantity", "1"], ["Recipient", bob.address], ["Action", "Transfer"], ["Quantity", "2"]];
  const result = await ask(fresh, twice.map(([name, value]) => ({ name, value })));
  assert.equal(tag(byAction(result, "Debit-Notice"), "Quantity"), "2");
  assert.equal(await balance(fresh, bob.address), "2");
});

test("Mint by a stranger is a Mint-Error with the message's id", async () => {
  const message = await send(token, { Action: "Mint", Quantity: "5" }, { from: mallory });
  const refusal = byAction(await ao.result({ process: token, message }), "Mint-Error");
  assert.equal(tag(refusal, "Message-Id"), message);
  assert.equal(tag(refusal, "Error"), "Only the Process Id can mint new PTS tokens!");
  assert.equal(await balance(token, mallory.address), "0");
});

test("Total-Supply is the sum of all balances", async () => {
  const [reply] = (await look(token, { Action: "Total-Supply" })).Messages;
  const held = JSON.parse((await look(token, { Action: "Balances" })).Messages[0].Data);
  const sum = Object.values(held).reduce((total, amount) => total + BigInt(amount), 0n);
  assert.equal(BigInt(reply.Data), sum);
  assert.equal(tag(reply, "Ticker"), "PTS");
});

test("Burn takes from the sender and from the supply", async () => {
  const fresh = await mintedToken("100");
  await ask(fresh, { Action: "Burn", Quantity: "40" });
  assert.equal(await balance(fresh, alice.address), "60");
  assert.equal((await look(fresh, { Action: "Total-Supply" })).Messages[0].Data, "60");
});

test("a reply bears X-Reference when the request had a Reference", async () => {
  const [reply] = (await ask(token, { Action: "Balance", Reference: "77" })).Messages;
  assert.equal(tag(reply, "X-Reference"), "77");
});

test("a token paid by a token's notice: a process receives what is pushed to it", async () => {
  const holder = await spawn("WrappedAR", { Name: "Holder" });
  await ask(token, { Action: "Transfer", Recipient: holder, Quantity: "3" });
  const pushed = await until("the pushed Credit-Notice", async () => {
    const { edges } = await (await fetch(`${net.su}/${holder}?process-id=${holder}`)).json();
    return edges.find(({ node }) => node.message?.tags.some((t) => t.name === "Action" && t.value === "Credit-Notice"));
  });
  assert.ok(pushed.node.message.tags.some((t) => t.name === "From-Process" && t.value === token));
});
