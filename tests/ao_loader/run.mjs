// Evaluates messages with AO's own loader, as AO's compute unit does.
// Usage: node run.mjs MODULE.wasm FORMAT < lines of {"message", "environment"} > lines of responses
// With --time: prints how long the messages took, in milliseconds, and no responses.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import AoLoader from "@permaweb/ao-loader";

const [path, format] = process.argv.slice(2);
const timed = process.argv.includes("--time");
const binary = readFileSync(path);
const options = { format, computeLimit: 9_000_000_000_000 };
const lines = readFileSync(0, "utf8").split("\n").filter((line) => line);
// A module may print, so that its responses are marked.
const say = (value) => process.stdout.write(`\n\u0001${JSON.stringify(value)}\n`);
let handle = await AoLoader(binary, options);
let memory = null;
const begun = performance.now();
let first = begun;
for (const [number, line] of lines.entries()) {
  const { message, environment } = JSON.parse(line);
  let result;
  try {
    result = await handle(memory, message, environment);
  } catch (error) {
    result = { Error: typeof error === "string" ? error : String(error?.message ?? error) };
  }
  if (result.Error) {
    // As AO's compute unit: the memory is as it was before, and the instance is given up.
    handle = await AoLoader(binary, options);
  } else {
    memory = result.Memory;
  }
  if (number === 0) first = performance.now();
  const { Error: error, Output, Messages, Spawns, Assignments } = result;
  if (!timed) say({ Error: error, Output, Messages, Spawns, Assignments });
}
if (timed) say({ first: first - begun, rest: performance.now() - first });
