"use strict";
// The official package with one line instead of an HTTP client: docs/guides/twilio-sdks.md and the quickstart.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const twilio = require("twilio");
const own = require("./own-server");

const { codeFor, number, url } = own;

const guide = fs.readFileSync(path.join(__dirname, "../../../docs/guides/twilio-sdks.md"), "utf8");
const block = guide.match(/```js\n(.+?)```/s)[1].replaceAll("http://localhost:3000", url);
const client = new Function("twilio", `${block} return client;`)(twilio);

async function service(t, friendlyName) {
  const made = await client.verify.v2.services.create({ friendlyName });
  t.after(() => client.verify.v2.services(made.sid).remove());
  return made;
}

test("the program of the quickstart verifies a number", async (t) => {
  process.env.API = url;
  process.env.SERVICE = (await service(t, "Acme")).sid;
  const to = number();
  const file = path.join(__dirname, "../../../examples/quickstart/verify.js");
  const text = fs.readFileSync(file, "utf8").replace("+14155552673", to);
  const terminal = { question: () => codeFor(to), close() {} };
  const packages = (name) => (name === "node:readline/promises" ? { createInterface: () => terminal } : require(name));
  const printed = await new Promise((log) => new Function("require", "console", text)(packages, { log }));
  assert.equal(printed, "approved");
});

test("a number is looked up", async () => {
  const found = await client.lookups.v2.phoneNumbers("+447400123456").fetch({ fields: "line_type_intelligence" });
  assert.deepEqual([found.valid, found.countryCode, found.lineTypeIntelligence.type], [true, "GB", "mobile"]);
  const wrong = await client.lookups.v2.phoneNumbers("+11234567890").fetch();
  assert.deepEqual([wrong.valid, wrong.validationErrors], [false, ["INVALID_BUT_POSSIBLE"]]);
});

test("the HTTP client leads to Lookup too", async () => {
  const found = await own.client().lookups.v2.phoneNumbers("+447400123456").fetch();
  assert.ok(found.url.startsWith(url), found.url);
});

test("further pages come from the server", async (t) => {
  const { sid } = await service(t, "Acme");
  const limits = (of) => of.verify.v2.services(sid).rateLimits;
  const names = ["one", "two", "three"];
  for (const uniqueName of names) await limits(client).create({ uniqueName });
  for (const each of [client, own.client()]) {
    const listed = await limits(each).list({ pageSize: 1 });
    assert.deepEqual(listed.map((limit) => limit.uniqueName), names);
  }
});
