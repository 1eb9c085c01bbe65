// The client in its main-network mode, against the same server as the legacy one.

import { connect } from "@permaweb/aoconnect";
import { alice, net, pairs } from "./network.mjs";

const clients = new Map();

/** The client of a wallet; without one, as a page without a wallet has it. */
export function main(wallet) {
  if (!clients.has(wallet)) {
    const signer = wallet ? { signer: wallet.signer } : {};
    clients.set(wallet, connect({ MODE: "mainnet", URL: net.gateway, ...signer }));
  }
  return clients.get(wallet);
}

export const mainSpawn = (module, tags = {}, { from = alice, data } = {}) =>
  main(from).spawn({ module: net.modules[module], tags: pairs(tags), signer: from.signer, data });

/** Push a message and return its slot. */
export const push = (process, tags, { from = alice, data } = {}) =>
  main(from).message({ process, tags: pairs(tags), signer: from.signer, data });

/** Push a message and return its result. */
export async function mainAsk(process, tags, options) {
  const message = await push(process, tags, options);
  return main(options?.from ?? alice).result({ process, message });
}

export const mainLook = (process, tags, more = {}) =>
  main(alice).dryrun({ process, tags: pairs(tags), ...more });

/** Read a value of a process's state by its keys, as @ar.io/sdk does. */
export async function valueAt(process, path) {
  const asked = "require-codec=application%2Fjson&accept-bundle=true";
  const response = await fetch(`${net.gateway}/${process}~process@1.0/${path}?${asked}`);
  return response.ok ? (await response.json()).body : response.status;
}
