"use strict";
// Services: create, read, change, list in pages, delete.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const own = require("./own-server");

const verify = own.client().verify.v2;
const sids = (list) => list.map((service) => service.sid);

test("a service is made with what was asked for, and reads the same when it is fetched", async (t) => {
  const made = await verify.services.create({
    friendlyName: "Owl Bank",
    codeLength: 8,
    lookupEnabled: true,
    skipSmsToLandlines: true,
    dtmfInputRequired: false,
    ttsName: "Owl",
    doNotShareWarningEnabled: true,
    customCodeEnabled: true,
  });
  // By id: the result of `create` does not know its id in this version of the package.
  t.after(() => verify.services(made.sid).remove());
  own.isSid("VA", made.sid);
  assert.equal(made.accountSid, own.accountSid);
  assert.deepEqual([made.friendlyName, made.codeLength, made.ttsName], ["Owl Bank", 8, "Owl"]);
  assert.deepEqual([made.lookupEnabled, made.skipSmsToLandlines, made.customCodeEnabled], [true, true, true]);
  assert.deepEqual([made.dtmfInputRequired, made.psd2Enabled], [false, false]);
  own.isRecent(made.dateCreated);
  assert.equal(made.url, `${own.url}/v2/Services/${made.sid}`);
  assert.deepEqual((await verify.services(made.sid).fetch()).toJSON(), made.toJSON());
});

test("an update changes what it names and nothing else", async (t) => {
  const context = await own.service(t, { ttsName: "Owl", codeLength: 5 });
  const changed = await context.update({ codeLength: 7 });
  assert.deepEqual([changed.friendlyName, changed.ttsName, changed.codeLength], ["Owl Bank", "Owl", 7]);
  assert.equal((await context.fetch()).codeLength, 7);
});

test("a deleted service is gone", async () => {
  const made = await verify.services.create({ friendlyName: "Owl Bank" });
  assert.equal(await verify.services(made.sid).remove(), true);
  await own.refused(20404, 404, verify.services(made.sid).fetch(), made.sid);
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
