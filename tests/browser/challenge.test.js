"use strict";

// Each message needs the operator's challenge: the page shows it, or says that it needs scripts.

const assert = require("node:assert/strict");
const test = require("node:test");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: executablePath } = process.env;
const { ONCEWARD_USER: user, ONCEWARD_SECRET: secret } = process.env;

const PATIENCE = { timeout: 300_000 };

let browser;
let service;

test.before(async () => {
  service = (await api("/Services", { FriendlyName: "Owl Bank", ReturnUrls: "https://app.example/" })).sid;
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  browser = await puppeteer.launch({ executablePath, headless: "shell", protocolTimeout: 600_000, args, ...PATIENCE });
});

test.after(() => browser?.close());

test("a message passes with the challenge, and not without scripts", async () => {
  const without = await opened(false);
  assert.match(await without.$eval("main", ({ textContent }) => textContent), /This step needs JavaScript/);
  await send(without, "+14155550100");
  assert.ok(await without.$("#number"));

  const page = await opened(true);
  await page.waitForSelector("[type=checkbox]", PATIENCE);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id }) => id), []);
  await send(page, "+14155550101");
  assert.equal(await page.$eval("#number", ({ value }) => value), "+14155550101", "it was not ticked");
  await (await page.waitForSelector("[type=checkbox]", PATIENCE)).click();
  await Promise.all([page.waitForNavigation(PATIENCE), page.click(".main")]);
  assert.ok(await page.$("#code"));
});

async function send(page, number) {
  await page.type("#number", number);
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
}

async function opened(scripts) {
  const { url } = await api(`/Services/${service}/HostedSessions`, { ReturnUrl: "https://app.example/" });
  const page = await (await browser.createBrowserContext()).newPage();
  page.setDefaultTimeout(PATIENCE.timeout);
  page.on("pageerror", (error) => assert.fail(error));
  page.on("console", (line) => assert.notEqual(line.type(), "error", line.text()));
  await page.setJavaScriptEnabled(scripts);
  await page.goto(url);
  return page;
}

async function api(place, form) {
  const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams(form);
  const answer = await fetch(`${server}/v2${place}`, { method: "POST", headers: { authorization }, body });
  assert.ok(answer.ok, `${place}: ${answer.status}`);
  return answer.json();
}
