// A reporter for node:test that writes one line of JSON for each test at the top of a file.

export default async function* report(source) {
  for await (const { type, data } of source) {
    const over = type === "test:pass" || type === "test:fail";
    if (!over || data.nesting !== 0 || data.details.type === "suite") continue;
    const error = data.details.error?.cause ?? data.details.error;
    yield `${JSON.stringify({
      name: data.name,
      passed: type === "test:pass",
      milliseconds: data.details.duration_ms,
      error: error === undefined ? "" : `${error.stack ?? error}`,
    })}\n`;
  }
}
