"use strict";
// Lists of services in pages, and the credentials for them.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;
const sids = (list) => list.map((service) => service.sid);

test("a wrong credential is 20003", async () => {
  await own.refused(20003, 401, own.client(own.accountSid, "0".repeat(32)).verify.v2.services.list());
});

test("a list is the same in pages of any size, the newest first", async (t) => {
  // Only this file creates services with this name; other services come and go.
  const made = [];
  for (let index = 0; index < 7; index++) {
    made.push((await own.service(t, { friendlyName: `Paged ${index}` })).sid);
  }
  for (const pageSize of [1, 2, 3, 100]) {
    const listed = (await verify.services.list({ pageSize })).filter((s) => s.friendlyName.startsWith("Paged "));
    assert.deepEqual([...new Set(sids(listed))], made.toReversed?.() ?? made.slice().reverse(), `pages of ${pageSize}`);
  }
  assert.equal((await verify.services.list({ limit: 5, pageSize: 2 })).length, 5);
  let seen = 0;
  await new Promise((resolve, reject) =>
    verify.services.each({ limit: 4, pageSize: 3, callback: () => seen++, done: (error) => (error ? reject(error) : resolve()) }),
  );
  assert.equal(seen, 4);
});

test("pages lead forwards and backwards", async (t) => {
  for (let index = 0; index < 4; index++) await own.service(t);
  const first = await verify.services.page({ pageSize: 2 });
  assert.equal(first.previousPageUrl, undefined);
  assert.ok(first.nextPageUrl.startsWith(`${own.url}/v2/Services?`), first.nextPageUrl);
  const second = await first.nextPage();
  assert.equal(second.instances.length, 2);
  const back = await second.previousPage();
  assert.equal(back.instances.length, 2);
  const again = await verify.services.getPage(first.nextPageUrl);
  assert.equal(again.instances.length, 2);
});
