"use strict";
// Rate limits and their buckets.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

async function limited(t, max) {
  const service = await own.service(t);
  const made = await service.rateLimits.create({ uniqueName: "session", description: "one a session" });
  const limit = service.rateLimits(made.sid);
  if (max) await limit.buckets.create({ max, interval: 3600 });
  const send = (rateLimits) => service.verifications.create({ to: own.number(), channel: "sms", ...(rateLimits && { rateLimits }) });
  return { service, made, limit, send };
}

test("a limit and its buckets are made, read, changed, listed and deleted", async (t) => {
  const { service, made, limit } = await limited(t);
  own.isSid("RK", made.sid);
  assert.deepEqual([made.uniqueName, made.description], ["session", "one a session"]);
  assert.equal((await limit.update({ description: "a few" })).description, "a few");
  const bucket = await limit.buckets.create({ max: 5, interval: 60 });
  own.isSid("BL", bucket.sid);
  assert.deepEqual([bucket.max, bucket.interval, bucket.rateLimitSid], [5, 60, made.sid]);
  assert.equal((await limit.buckets(bucket.sid).update({ max: 6 })).max, 6);
  await limit.buckets.create({ max: 10, interval: 3600 });
  assert.equal((await limit.buckets.list({ pageSize: 1 })).length, 2);
  assert.equal(await limit.buckets(bucket.sid).remove(), true);
  await own.refused(20404, 404, limit.buckets(bucket.sid).fetch());
  assert.equal((await service.rateLimits.list({ pageSize: 1 })).length, 1);
  assert.equal((await service.rateLimits("session").fetch()).sid, made.sid);
  assert.equal(await limit.remove(), true);
  await own.refused(20404, 404, limit.fetch());
});

test("requests beyond a bucket are refused, for that value only", async (t) => {
  const { send } = await limited(t, 2);
  await send({ session: "a" });
  await send({ session: "a" });
  await own.refused(20429, 429, send({ session: "a" }));
  await send({ session: "b" });
  await send();
});

test("a limit that the service does not have is refused, and a name is taken once", async (t) => {
  const { service, send } = await limited(t);
  await own.refused(60200, 400, send({ nowhere: "a" }), "RateLimits");
  await own.refused(60208, 400, service.rateLimits.create({ uniqueName: "session" }));
});
