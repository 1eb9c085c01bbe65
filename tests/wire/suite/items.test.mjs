// ANS-104 data items at the door of the messenger unit: who may sign, and what is refused.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { test } from "node:test";
import {
  EthereumSigner,
  HexSolanaSigner,
  serializeTags,
  TypedEthereumSigner,
} from "@dha-team/arbundles";
import bs58 from "bs58";
import { alice, ao, base64url, get, graphql, mallory, mintedToken, net, post, sha256, tag } from "./network.mjs";
import { item, itemFromParts, itemWithSalt, MESSAGE, SIGNATURE_AT, TARGET_AT } from "./items.mjs";

const INVALID = "A valid and signed data item must be provided as the body.";
const token = await mintedToken();
const INFO = [...MESSAGE, { name: "Action", value: "Info" }];
const BALANCE = [...MESSAGE, { name: "Action", value: "Balance" }];

async function refused(bytes, text = INVALID) {
  const answer = await post(net.mu, bytes);
  assert.equal(answer.status, 500, answer.text);
  assert.ok(answer.json.error.includes(text), answer.text);
  return answer.json;
}

async function accepted({ bytes, id }) {
  const answer = await post(net.mu, bytes);
  assert.equal(answer.status, 202, answer.text);
  assert.equal(answer.json.id, id);
  return ao.result({ process: token, message: id });
}

function ed25519Signer() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    signatureType: 2,
    ownerLength: 32,
    signatureLength: 64,
    publicKey: Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url"),
    sign: async (message) => sign(null, message, privateKey),
  };
}

function solanaSigner() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const seed = Buffer.from(privateKey.export({ format: "jwk" }).d, "base64url");
  const point = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
  return new HexSolanaSigner(bs58.encode(Buffer.concat([seed, point])));
}

test("a valid item is answered with 202, a text and its id", async () => {
  const { bytes, id } = await item(alice, { target: token, tags: INFO });
  const answer = await post(net.mu, bytes);
  assert.equal(answer.status, 202);
  assert.deepEqual(answer.json, { message: "Processing DataItem", id });
  assert.match(answer.headers.get("content-type"), /application\/json/);
});

test("the id of an item is the SHA-256 of its signature", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  const signature = bytes.subarray(SIGNATURE_AT, SIGNATURE_AT + 512);
  const answer = await post(net.mu, bytes);
  assert.equal(answer.json.id, base64url(sha256(signature)));
});

test("an Arweave signature with a salt of 32 bytes, as browsers make it, is accepted", async () => {
  await accepted(await itemWithSalt(alice, 32, { target: token, tags: INFO }));
});

test("an Arweave signature without salt is accepted", async () => {
  await accepted(await itemWithSalt(alice, 0, { target: token, tags: INFO }));
});

test("an Ed25519 item is accepted, and its From is the hash of its key", async () => {
  const signer = ed25519Signer();
  const result = await accepted(await item(null, { target: token, tags: BALANCE, signer }));
  assert.equal(tag(result.Messages[0], "Account"), base64url(sha256(signer.publicKey)));
});

test("an Ethereum item is accepted, and its From is the 0x address", async () => {
  const signer = new EthereumSigner(randomBytes(32).toString("hex"));
  const result = await accepted(await item(null, { target: token, tags: BALANCE, signer }));
  assert.match(tag(result.Messages[0], "Account"), /^0x[0-9a-fA-F]{40}$/);
});

test("scheduler and gateway name an Ethereum signer by the hash of its key, as they do all others", async () => {
  const signer = new EthereumSigner(randomBytes(32).toString("hex"));
  const made = await item(null, { target: token, tags: BALANCE, signer });
  await accepted(made);
  const owner = { address: base64url(sha256(signer.publicKey)), key: base64url(signer.publicKey) };
  const { json } = await get(`${net.su}/${made.id}?process-id=${token}`);
  assert.deepEqual(json.message.owner, owner);
  const found = await graphql("query ($ids: [ID!]!) { transactions(ids: $ids) { edges { node { owner { address key } } } } }", { ids: [made.id] });
  assert.deepEqual(found.transactions.edges[0].node.owner, owner);
});

test("a typed Ethereum item (EIP-712) is refused, as the reference scheduler does", async () => {
  const signer = new TypedEthereumSigner(randomBytes(32).toString("hex"));
  const { bytes } = await item(null, { target: token, tags: BALANCE, signer });
  await refused(bytes);
});

test("a Solana item is refused, as the reference scheduler does", async () => {
  const { bytes } = await item(null, { target: token, tags: BALANCE, signer: solanaSigner() });
  await refused(bytes);
});

test("an anchor of 32 bytes is accepted and handed on", async () => {
  const anchor = "00000000000000000000000000000042";
  const made = await item(alice, { target: token, tags: INFO, anchor });
  await accepted(made);
  const { json } = await get(`${net.su}/${made.id}?process-id=${token}`);
  assert.ok([anchor, base64url(Buffer.from(anchor))].includes(json.message.anchor), json.message.anchor);
});

test("two hundred small tags are accepted", async () => {
  const many = Array.from({ length: 200 }, (_, n) => ({ name: `N${n}`, value: `${n}` }));
  await accepted(await item(alice, { target: token, tags: [...INFO, ...many] }));
});

test("tags in several Avro blocks, also with a negative count, are accepted", async () => {
  // Two blocks of one tag each, then the end; the second says its size in bytes: count -1.
  const one = (name, value) => serializeTags([{ name, value }]).subarray(1, -1);
  const rest = serializeTags(INFO).subarray(0, -1);
  const second = one("X-Last", "yes");
  const tagBlock = Buffer.concat([rest, Buffer.from([1, second.length * 2]), second, Buffer.from([0])]);
  const bytes = await itemFromParts(alice, { target: token, tagBlock, tagCount: INFO.length + 1 });
  const answer = await post(net.mu, bytes);
  assert.equal(answer.status, 202, answer.text);
});

test("a wrong signature is refused with 500", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  bytes[SIGNATURE_AT + 100] ^= 1;
  await refused(bytes);
});

test("changed data is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO, data: "one" });
  bytes[bytes.length - 1] ^= 1;
  await refused(bytes);
});

test("a changed tag is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  const at = Buffer.from(bytes).indexOf("Info");
  bytes[at] ^= 1;
  await refused(bytes);
});

test("a changed target is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  bytes[TARGET_AT + 5] ^= 1;
  await refused(bytes);
});

test("another's key under one's own signature is refused", async () => {
  const { bytes } = await item(mallory, { target: token, tags: INFO });
  Buffer.from(alice.jwk.n, "base64url").copy(bytes, SIGNATURE_AT + 512);
  await refused(bytes);
});

test("a truncated item is refused at every length", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  for (const length of [1, 2, 79, 80, 513, 1025, TARGET_AT + 1, TARGET_AT + 40, bytes.length - 1]) {
    await refused(bytes.subarray(0, length));
  }
});

test("an empty body is refused", async () => refused(""));

test("a body that is no item is refused in AO's words alone; what is wrong with it is the detail", async () => {
  const { error, detail } = await refused("hello");
  assert.equal(error, `'body': ${INVALID}`);
  assert.match(detail, /at least 80 bytes/);
});

test("a body of JSON is refused", async () => refused(JSON.stringify({ Target: token })));

test("random bytes are refused", async () => refused(randomBytes(2000)));

test("an unknown type of signature is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  bytes[0] = 99;
  await refused(bytes);
});

test("a presence byte that is neither 0 nor 1 is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  bytes[TARGET_AT] = 2;
  await refused(bytes);
});

test("a count of tags that is not the number of tags is refused", async () => {
  const tagBlock = serializeTags(INFO);
  await refused(await itemFromParts(alice, { target: token, tagBlock, tagCount: INFO.length + 1 }));
});

test("a count of tags beyond any memory is refused", async () => {
  const tagBlock = serializeTags(INFO);
  const bytes = await itemFromParts(alice, { target: token, tagBlock, tagCount: 1n << 62n });
  await refused(bytes);
});

test("a tag block of more than 4096 bytes is refused", async () => {
  // arbundles will not write such a block, so it is put together from two.
  const long = serializeTags([{ name: "Long", value: "x".repeat(4050) }]);
  const tagBlock = Buffer.concat([serializeTags(INFO).subarray(0, -1), long]);
  assert.ok(tagBlock.length > 4096);
  await refused(await itemFromParts(alice, { target: token, tagBlock, tagCount: INFO.length + 1 }));
});

test("tags that are not UTF-8 do not bring the server down", async () => {
  const tagBlock = serializeTags(INFO);
  tagBlock[tagBlock.length - 2] = 0xff;
  const bytes = await itemFromParts(alice, { target: token, tagBlock, tagCount: INFO.length });
  const answer = await post(net.mu, bytes);
  assert.ok([202, 500].includes(answer.status), answer.text);
  assert.equal((await get(`${net.mu}/`)).status, 200);
});

test("an item without Data-Protocol is refused", async () => {
  const tags = INFO.filter(({ name }) => name !== "Data-Protocol");
  const { bytes } = await item(alice, { target: token, tags });
  await refused(bytes, "Tag 'Data-Protocol': must contain 'ao'");
});

test("an item of another Data-Protocol is refused", async () => {
  const tags = INFO.map((pair) => (pair.name === "Data-Protocol" ? { ...pair, value: "amazon" } : pair));
  const { bytes } = await item(alice, { target: token, tags });
  await refused(bytes, "Tag 'Data-Protocol': must contain 'ao'");
});

test("an item without Type is refused", async () => {
  const tags = INFO.filter(({ name }) => name !== "Type");
  const { bytes } = await item(alice, { target: token, tags });
  await refused(bytes, "Tag 'Type': must be either 'Process' or 'Message'");
});

test("an item of another Type is refused", async () => {
  const tags = INFO.map((pair) => (pair.name === "Type" ? { ...pair, value: "Assignment" } : pair));
  const { bytes } = await item(alice, { target: token, tags });
  await refused(bytes, "Tag 'Type': must be either 'Process' or 'Message'");
});

test("a tag that ends in +link is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: [...INFO, { name: "X+link", value: "y" }] });
  await refused(bytes, "");
});

test("the same item a second time is refused", async () => {
  const { bytes } = await item(alice, { target: token, tags: INFO });
  assert.equal((await post(net.mu, bytes)).status, 202);
  await refused(bytes, "");
});

test("the same content signed again is another message", async () => {
  const one = await item(alice, { target: token, tags: INFO });
  const two = await item(alice, { target: token, tags: INFO });
  assert.notEqual(one.id, two.id);
  assert.ok((await accepted(one)).Messages.length);
  assert.ok((await accepted(two)).Messages.length);
});

test("a body beyond the limit is refused and the server lives", async () => {
  const answer = await post(net.mu, Buffer.alloc(11 * 1024 * 1024)).catch((error) => ({ status: 413, error }));
  assert.ok(answer.status >= 400, `${answer.status}`);
  assert.equal((await get(`${net.mu}/`)).text, "ao messenger unit");
});

test("what was refused left no message behind", async () => {
  const { json } = await get(`${net.su}/${token}?process-id=${token}&limit=1000`);
  for (const { node } of json.edges) {
    const { bytes, id } = { bytes: Buffer.from(node.message.signature, "base64url"), id: node.message.id };
    assert.equal(base64url(sha256(bytes)), id);
  }
});
