// What every file of the suite starts from: the server's facts, wallets, and the client, unmodified.
//
// BENCHPOOL_WIRE names a JSON file that the Python side writes:
// {mu, cu, su, gateway, graphql, scheduler, messenger, modules: {name: id}, wallets: {name: jwk},
//  data: {name: data id}}.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, createDataItemSigner } from "@permaweb/aoconnect";

export const net = JSON.parse(readFileSync(process.env.BENCHPOOL_WIRE, "utf8"));

export const ao = connect({
  MODE: "legacy",
  MU_URL: net.mu,
  CU_URL: net.cu,
  GATEWAY_URL: net.gateway,
  GRAPHQL_URL: net.graphql,
});

export const ID = /^[A-Za-z0-9_-]{43}$/;
export const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
export const base64url = (bytes) => Buffer.from(bytes).toString("base64url");

function openWallet(jwk) {
  // The client counts the signers made for a key, so each wallet makes one and keeps it.
  const signer = createDataItemSigner(jwk);
  const address = base64url(sha256(Buffer.from(jwk.n, "base64url")));
  return { jwk, signer, address };
}

export const alice = openWallet(net.wallets.alice);
export const bob = openWallet(net.wallets.bob);
export const mallory = openWallet(net.wallets.mallory);

export const pairs = (tags) =>
  Array.isArray(tags) ? tags : Object.entries(tags).map(([name, value]) => ({ name, value }));

/** Spawn a module by name, trusting the messenger unit, as `benchpool spawn` does. */
export function spawn(module, tags = {}, { from = alice, data, authority = true } = {}) {
  const trusted = authority ? [{ name: "Authority", value: net.messenger }] : [];
  return ao.spawn({
    module: net.modules[module],
    scheduler: net.scheduler,
    signer: from.signer,
    tags: [...pairs(tags), ...trusted],
    data,
  });
}

/** Send a message and return its id. */
export function send(process, tags, { from = alice, data, anchor } = {}) {
  return ao.message({ process, tags: pairs(tags), data, anchor, signer: from.signer });
}

/** Send a message and return its result. */
export async function ask(process, tags, options) {
  return ao.result({ process, message: await send(process, tags, options) });
}

/** Ask without a trace: a dry run. */
export const look = (process, tags, more = {}) =>
  ao.dryrun({ process, tags: pairs(tags), ...more });

export const tag = (item, name) => item.Tags.find((pair) => pair.name === name)?.value;
export const values = (tags, name) => tags.filter((t) => t.name === name).map((t) => t.value);
export const byAction = (result, action) =>
  result.Messages.find((message) => tag(message, "Action") === action);

/** A token of which `alice` holds this much. */
export async function mintedToken(quantity = "1000", tags = {}) {
  const token = await spawn("WrappedAR", tags);
  await ask(token, { Action: "Mint", Quantity: quantity });
  return token;
}

export async function balance(token, account) {
  return (await look(token, { Action: "Balance", Recipient: account })).Messages[0].Data;
}

/** Wait until `check` gives something truthy, and return it. */
export async function until(what, check, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Fetch and return {status, headers, text, json}; json is undefined if the body is none. */
export async function get(url, options) {
  const response = await fetch(url, options);
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString("utf8");
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, bytes, text, json };
}

export const post = (url, body, type = "application/octet-stream") =>
  get(url, { method: "POST", headers: { "content-type": type }, body });

export const graphql = async (query, variables = {}) => {
  const answer = await post(net.graphql, JSON.stringify({ query, variables }), "application/json");
  if (answer.json?.errors) throw new Error(JSON.stringify(answer.json.errors));
  return answer.json.data;
};
