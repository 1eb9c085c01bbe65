// Data items made by hand: what the client never sends, and what other signers send.

import { constants, createPrivateKey, sign } from "node:crypto";
import { ArweaveSigner, createData, deepHash, stringToBuffer } from "@dha-team/arbundles";
import { pairs } from "./network.mjs";

const AO = [
  { name: "Data-Protocol", value: "ao" },
  { name: "Variant", value: "ao.TN.1" },
];
export const MESSAGE = [...AO, { name: "Type", value: "Message" }];
export const PROCESS = [...AO, { name: "Type", value: "Process" }];

/** Where an Arweave item's parts begin: two bytes of type, then 512 of signature and of owner. */
export const SIGNATURE_AT = 2;
export const TARGET_AT = 2 + 512 + 512;

/** A signed item: its bytes and id. */
export async function item(wallet, { target, tags = [], data = " ", anchor, signer } = {}) {
  const by = signer ?? new ArweaveSigner(wallet.jwk);
  const made = createData(data, by, { target, anchor, tags: pairs(tags) });
  await made.sign(by);
  return { bytes: made.getRaw(), id: made.id, made };
}

function signPss(jwk, message, saltLength) {
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return sign("sha256", message, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
}

/** An item signed by RSA-PSS with this length of salt. */
export async function itemWithSalt(wallet, saltLength, { target, tags = [], data = " " }) {
  const made = createData(data, new ArweaveSigner(wallet.jwk), { target, tags: pairs(tags) });
  await made.setSignature(signPss(wallet.jwk, await made.getSignatureData(), saltLength));
  return { bytes: made.getRaw(), id: made.id };
}

/** An Arweave item with a true signature over whatever tag block and counts are given. */
export async function itemFromParts(wallet, { target, tagBlock, tagCount, data = " " }) {
  const owner = Buffer.from(wallet.jwk.n, "base64url");
  const to = Buffer.from(target, "base64url");
  const body = Buffer.from(data);
  const texts = ["dataitem", "1", "1"].map((text) => stringToBuffer(text));
  const hash = await deepHash([...texts, owner, to, Buffer.alloc(0), tagBlock, body]);
  const number = (value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    return bytes;
  };
  return Buffer.concat([
    Buffer.from([1, 0]),
    signPss(wallet.jwk, hash, constants.RSA_PSS_SALTLEN_MAX_SIGN),
    owner,
    Buffer.from([1]),
    to,
    Buffer.from([0]),
    number(tagCount),
    number(tagBlock.length),
    tagBlock,
    body,
  ]);
}
