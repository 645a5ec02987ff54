"use strict";

// Walks through the pages of a real server with the system's Chromium, as a person on a phone and at a desk, in the
// light and in the dark. Each page must fit its window, load nothing from elsewhere, report no error, and give axe
// nothing serious. ONCEWARD_PAGES=all walks each width in each scheme, judges the contrast of every text, and makes
// pictures in the directory ONCEWARD_SCREENSHOTS.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const test = require("node:test");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: chromium, ONCEWARD_SCREENSHOTS: pictures } = process.env;
const { ONCEWARD_USER: user, ONCEWARD_SECRET: secret, ONCEWARD_PID: pid } = process.env;

// Time for what a page does by itself.
const PATIENCE = { timeout: 300_000 };
const EVERYTHING = process.env.ONCEWARD_PAGES === "all";

let browser;

// Two services of one name, which the pages tell apart by their ids.
const services = [];

test.before(async () => {
  for (let made = 0; made < 2; made += 1) {
    const { sid } = await api("/Services", { FriendlyName: "Northern Wholesale and Retail" });
    services.push(`/${sid}`);
  }
  fs.mkdirSync(pictures, { recursive: true });
  browser = await puppeteer.launch({
    executablePath: chromium,
    headless: "shell",
    // Chromium's sandbox does not run as root, and shared memory is small in containers.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    timeout: PATIENCE.timeout,
    protocolTimeout: 600_000,
  });
});

test.after(() => browser?.close());

// Each width and each scheme once, or every pair of them.
const walks = [[390, 844, "light"], [1280, 800, "dark"]];
if (EVERYTHING) walks.push([390, 844, "dark"], [1280, 800, "light"]);
for (const [width, height, scheme] of walks) {
  test(`the pages at ${width} px in the ${scheme}`, () => walk(width, height, scheme));
}

async function walk(width, height, scheme) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE.timeout);
  const devtools = await page.createCDPSession();
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const problems = [];
  const cuts = [];
  page.on("console", (message) => {
    // Chromium reports every answer of 400 and above, and the walk asks for some.
    const expected = /status of 40[014]/.test(message.text());
    if (message.type() === "error" && !expected) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith(server) && !address.startsWith("data:")) problems.push(`loads ${address}`);
  });

  const shown = async (name, fullPage = true) => {
    if (EVERYTHING) await page.screenshot({ path: path.join(pictures, `${name}-${width}-${scheme}.png`), fullPage });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(overflow <= 0, `${name} is ${overflow} px broader than the window`);
    await page.evaluate(axe.source);
    const violations = await page.evaluate(judged, EVERYTHING);
    const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    const places = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
    assert.deepEqual(places, [], `axe on ${name}`);
    assert.deepEqual(problems, [], name);
    if (name === "docs") return;
    // A narrow screen with a text of twice the size: tables stand below each other, but for the values of plots.
    await page.setViewport({ width: 360, height });
    await page.evaluate(() => { document.documentElement.style.fontSize = "200%"; });
    const cut = await page.evaluate(() => [...document.querySelectorAll("main *")].filter((part) => {
      const isFree = part.closest("pre, .unseen, .stack thead, #values-region");
      return !isFree && part.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
    }).map((part) => part.outerHTML.slice(0, 200)));
    if (cut.length > 0) cuts.push(name, cut);
    await page.evaluate(() => { document.documentElement.style.fontSize = ""; });
    await page.setViewport({ width, height });
    if (!EVERYTHING) return;
    const own = { name: "prefers-color-scheme", value: scheme };
    const media = (features) => devtools.send("Emulation.setEmulatedMedia", { features });
    await media([own, { name: "forced-colors", value: "active" }]);
    const forced = await page.evaluate(judged, true);
    assert.deepEqual(forced.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `${name} with forced colours`);
    await media([own]);
  };
  const press = (selector) => Promise.all([page.waitForNavigation(PATIENCE), page.click(selector)]);
  const text = (selector) => page.$eval(selector, (element) => element.textContent.trim());
  // Puppeteer's own wait can miss the last of two navigations in a row.
  const until = async (holds, ...values) => {
    const end = Date.now() + PATIENCE.timeout;
    let problem = "";
    while (!await page.evaluate(holds, ...values).catch((error) => { problem = error; })) {
      assert.ok(Date.now() < end, `${holds} is false, with ${values} ${problem}`);
      await new Promise((later) => { setTimeout(later, 100); });
    }
  };
  const says = (wanted) => until((words) => document.body.innerText.includes(words), wanted);
  const number = `+1415555${width === 390 ? 1 : 2}${scheme === "dark" ? 1 : 2}00`;

  await page.goto(server);
  await shown("start");

  await page.goto(`${server}/inbox`);
  await page.$$eval("details", (all) => all.forEach((details) => { details.open = true; }));
  await shown("inbox-empty");
  const lines = await page.$eval("button[value='send']", (button) => button.clientHeight);
  assert.ok(lines < 50, `"Send code" is ${lines} px high`);
  // On a small phone the newest code is in the window.
  await page.setViewport({ width: 360, height: 640 });
  const newest = (old) => until((before) => {
    const code = document.querySelector(".messages .code");
    if (!code || code.textContent === before) return false;
    const { top, bottom } = code.getBoundingClientRect();
    return top >= 0 && bottom <= window.innerHeight;
  }, old);
  await page.goto(server);
  await page.$eval("#number", (field, value) => { field.value = value; }, number);
  await page.keyboard.press("Enter");
  await newest("");
  const first = await text(".messages .code");

  // A message that another program sends appears without a reload.
  await page.goto(`${server}/inbox`);
  await send(number);
  await newest(first);
  await page.setViewport({ width, height });
  await page.type("#code", await text(".messages .code"));
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  await says("the number is verified");
  await page.type("#code", "000000");
  await press("button[value='check']");
  await says("doesn't match");
  await shown("inbox-refused");

  await page.goto(`${server}/inbox`);
  const count = await page.$$eval(".messages > li", (rows) => rows.length);
  await send(number);
  await until((before) => document.querySelectorAll(".messages > li").length === before + 1, count);
  await shown("inbox", false);

  // A message that arrives leaves the focus where it is.
  await page.focus(".messages button");
  const focused = () => page.evaluate(() => document.activeElement.id);
  const before = await focused();
  await send(`${number.slice(0, -2)}99`);
  await until((old) => document.querySelector(".messages button").id !== old, before);
  assert.equal(await focused(), before);

  await page.goto(`${server}/docs`);
  await shown("docs", false);

  await page.goto(`${server}/admin`);
  await shown("sign-in");
  const signIn = async (password) => {
    await page.$eval("#user", (field, value) => { field.value = value; }, user);
    await page.type("#secret", password);
    await press("form[action='/admin/sign-in'] button");
  };
  await signIn("not the secret");
  await says("Unknown SID or wrong secret");
  await signIn(secret);
  await page.goto(`${server}/admin?range=today`);
  await page.click("#values-summary");
  const sent = await text("#figures strong");
  await send(number);
  for (let guess = 0; guess < 5; guess += 1) await verify(number, "000000");
  await until((before) => document.querySelector("#figures strong").textContent !== before, sent);
  assert.ok(await page.$("#values-table[open]"), "an update closes nothing");
  await says(`${number.slice(0, 5)}*****${number.slice(-2)}`);
  await shown("dashboard");

  // A server that is stopped is noticed, and so is one that goes on.
  process.kill(Number(pid), "SIGSTOP");
  try {
    await says("The page could not be updated");
  } finally {
    process.kill(Number(pid), "SIGCONT");
  }
  await until(() => document.getElementById("connection").hidden);
  await says("United States (US)");

  // A session that ends elsewhere leads to the sign-in, and that back to the page.
  const other = await context.newPage();
  other.setDefaultTimeout(PATIENCE.timeout);
  await other.goto(`${server}/admin`);
  await Promise.all([other.waitForNavigation(PATIENCE), other.click("form[action='/admin/sign-out'] button")]);
  await other.close();
  await page.bringToFront();
  await says("Account SID or key SID");
  await signIn(secret);
  assert.equal(page.url(), `${server}/admin?range=today`);

  for (const service of services) await api(`/Services${service}/Verifications`, { To: number, Channel: "sms" });
  assert.equal((await post("/api/send-otp", { phoneNumber: number })).status, 403);
  await page.goto(`${server}/admin`);
  await says("by lockouts");
  await shown("dashboard-services");
  await press("a[href='/admin?range=14d']");
  assert.match(await text(".times"), /^\d\d-\d\d/, "one bar a day");
  await page.goto(`${server}/admin/refusals?rule=lockout`);
  await says("the lockout of the number");
  await shown("dashboard-refusals");
  const cut = await page.$$eval(".wide", (all) => all.filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.id));
  assert.deepEqual(cut, [], "tables that are cut");

  await page.type("#q", number.slice(1));
  await press("form[action='/admin/search'] button");
  await says("locked");
  await says("by the lockout of the number");
  await page.$$eval("details", (all) => all.forEach((details) => { details.open = true; }));
  await shown("dashboard-number");
  await press("button[value='unlock']");
  await says("is unlocked");
  await page.click("#erase + details summary");
  await press("button[value='erase']");
  await says("is erased in every service");
  await api("/Guard/Entries", { Subject: "+1415556****", Action: "block" });
  const refused = await post("/api/send-otp", { phoneNumber: "+14155561234" });
  assert.equal(refused.status, 403);
  await page.goto(`${server}/admin/guard`);
  await says("Remove the entry of +1415556****");
  await shown("dashboard-guard");
  await page.type("#subject", "+14155561234");
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  await says("refused by");
  assert.equal(await page.$eval("#subject", (field) => field.value), "+14155561234");
  await shown("dashboard-guard-explained");

  // Messages: found by keyboard alone, and by a row of the overview.
  await send(`${number.slice(0, -2)}98`);
  await page.goto(`${server}/admin`);
  await press("#countries-region a");
  assert.ok(page.url().endsWith("range=day&country=US"), page.url());
  await says("remove this filter");
  await shown("dashboard-country");
  await press("#to-messages");
  await says("taken by the gateway");
  await page.focus("#ending");
  await page.keyboard.type("98");
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  const found = await page.$$eval("td[data-name='Number']", (cells) => cells.map((cell) => cell.textContent));
  assert.ok(found.length > 0 && found.every((text) => text.endsWith("98")), found.join());
  await shown("dashboard-messages");
  await page.goto(`${server}/admin/messages?country=Germany`);
  await says("Invalid parameter `country`");
  await page.type("#q", `${number.slice(0, -2)}98`);
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  await says("Wrong codes");

  await page.goto(`${server}/admin/webhooks`);
  await page.type("#name", "billing");
  await page.type("#url", "https://127.0.0.1:1/");
  await page.click("input[value='verification.approved']");
  await shown("dashboard-webhooks");
  await press("#new ~ form button");
  await says("shown once");
  await says("whsec_");
  await press("#webhooks-region a");
  await says("No delivery fits.");
  await shown("dashboard-webhook");
  await page.click("#change ~ details summary");
  await press("button[value='delete']");
  await says("is deleted");

  await page.goto(`${server}/admin/services`);
  await shown("dashboard-services-list");
  await page.type("#name", "Heron");
  await Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  await says("The service Heron is created.");
  await shown("dashboard-service");
  await page.$eval("#CodeLength", (field) => { field.value = "99"; });
  await press("button[value='update']");
  await says("Invalid parameter `CodeLength`: it must be");
  await page.$eval("#CodeLength", (field) => { field.value = "8"; });
  await press("button[value='update']");
  await says("The service is changed.");
  await page.click("#delete + details summary");
  await page.type("#confirmed", "Heron");
  await press("button[value='delete']");
  await says("The service Heron is deleted.");

  await page.goto(`${server}/admin/keys`);
  await page.type("#name", "shop");
  await page.click("input[value='verify']");
  await press("button[value='create']");
  await says("Its secret is shown once");
  await shown("dashboard-keys");
  const keys = await page.$$eval("#keys-region tbody tr", (rows) => rows.length);
  await page.reload();
  assert.equal(await page.$$eval("#keys-region tbody tr", (rows) => rows.length), keys, "a reload makes no key");
  assert.equal(await page.$(".secret"), null, "the secret is shown once");
  await page.click("#keys-region summary");
  await press("button[value='revoke']");
  await says("is revoked: the server refuses it.");

  await page.goto(`${server}/admin/audit?action=number.erased`);
  await says("number.erased");
  await shown("dashboard-audit");
  await press("form[action='/admin/sign-out'] button");
  await says("Account SID or key SID");
  assert.deepEqual(cuts, [], "what a large text cuts");
  await context.close();
}

// What axe finds, in the page. The contrast of the 6,000 elements of /docs takes it ten seconds: routes whose kinds of
// elements were all in earlier ones are judged by the other rules alone.
async function judged(everything) {
  const kinds = new Set();
  const repeated = everything ? [] : [...document.querySelectorAll("article")].filter((article) => {
    const before = kinds.size;
    for (const { parentElement, localName, className } of article.querySelectorAll("*")) {
      kinds.add([parentElement.localName, parentElement.className, localName, className].join());
    }
    return kinds.size === before;
  });
  const rules = { "target-size": { enabled: true }, "color-contrast": { enabled: repeated.length === 0 } };
  const { violations } = await window.axe.run(document, { resultTypes: ["violations"], rules });
  if (repeated.length === 0) return violations;
  repeated.forEach((article) => article.remove());
  const contrast = { resultTypes: ["violations"], runOnly: { type: "rule", values: ["color-contrast"] } };
  return [...violations, ...(await window.axe.run(document, contrast)).violations];
}

const post = (path, body) => fetch(`${server}${path}`, { method: "POST", body: JSON.stringify(body) });

async function api(path, form) {
  const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams(form);
  const answer = await fetch(`${server}/v2${path}`, { method: "POST", headers: { authorization }, body });
  assert.equal(answer.status, 201);
  return answer.json();
}

async function send(number) {
  const answer = await post("/api/send-otp", { phoneNumber: number });
  assert.equal(answer.status, 200);
}

async function verify(number, code) {
  await post("/api/verify-otp", { user: { phoneNumber: number }, code });
}
