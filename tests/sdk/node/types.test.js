"use strict";
// Every field of every answer has the type that the package's own declarations give it.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const own = require("./own-server");

const library = path.join(path.dirname(require.resolve("twilio")), "rest", "verify", "v2");
const verify = own.client().verify.v2;

/** The fields of a class in a declaration file, and their types. */
function documented(file, name) {
  const text = readFileSync(path.join(library, file), "utf8");
  const body = text.split(`export declare class ${name} {`)[1].split("\n}")[0];
  return [...body.matchAll(/^ {4}(\w+): ([^;(]+);$/gm)].map(([, field, type]) => [field, type]);
}

/** Whether a value is of a type. Names that the package declares itself are those of texts. */
function fits(value, type) {
  switch (true) {
    case ["string", "number", "boolean"].includes(type):
      return typeof value === type;
    case type === "Date":
      return value instanceof Date && !Number.isNaN(value.getTime());
    case type.startsWith("Array<"):
      return Array.isArray(value) && value.every((item) => fits(item, type.slice(6, -1)));
    case type.startsWith("Record<"):
      return typeof value === "object" && value !== null;
    case type === "any":
      return true;
    default:
      return /^\w+$/.test(type) && typeof value === "string";
  }
}

function check(file, instance, mayBeNull = []) {
  const name = instance.constructor.name;
  const fields = documented(file, name);
  assert.ok(fields.length > 2, `the declarations of ${name} are read`);
  for (const [field, type] of fields) {
    const value = instance[field];
    if (value === null && mayBeNull.includes(field)) continue;
    assert.ok(value !== null && value !== undefined && fits(value, type), `${name}.${field}: ${value} is no ${type}`);
  }
}

test("each resource", async (t) => {
  const service = await own.service(t);
  check("service.d.ts", await service.fetch(), ["ttsName", "defaultTemplateSid"]);
  const to = own.number();
  check("service/verification.d.ts", await service.verifications.create({ to, channel: "sms" }), ["amount", "payee", "sna"]);
  const code = await own.codeFor(to);
  check("service/verificationCheck.d.ts", await service.verificationChecks.create({ to, code }), ["amount", "payee", "snaAttemptsErrorCodes"]);
  const limit = await service.rateLimits.create({ uniqueName: "session", description: "one a session" });
  check("service/rateLimit.d.ts", limit);
  check("service/rateLimit/bucket.d.ts", await service.rateLimits(limit.sid).buckets.create({ max: 5, interval: 60 }));
  const webhookUrl = "https://hooks.example.com/";
  check("service/webhook.d.ts", await service.webhooks.create({ friendlyName: "events", eventTypes: ["*"], webhookUrl }));
  check("template.d.ts", (await verify.templates.list({ limit: 1 }))[0]);
  const [attempt] = await verify.verificationAttempts.list({ verifyServiceSid: service.sid });
  check("verificationAttempt.d.ts", attempt);
  check("verificationAttemptsSummary.d.ts", await verify.verificationAttemptsSummary().fetch());
  check("safelist.d.ts", await verify.safelist.create({ phoneNumber: own.number() }));
});

test("a documented type can be missed", () => {
  assert.equal(fits("5", "number"), false);
  assert.equal(fits(new Date("owl"), "Date"), false);
  assert.equal(fits([1], "Array<string>"), false);
});
