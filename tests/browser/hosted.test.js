"use strict";

// A person verifies a number on the hosted page, with and without scripts, on a phone and at a desk, in the light and
// in the dark, by keyboard only, and in a frame of another origin. axe judges each step by WCAG 2.2, target sizes included.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const test = require("node:test");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const { ONCEWARD_URL: server, ONCEWARD_CHROMIUM: chromium, ONCEWARD_SCREENSHOTS: pictures } = process.env;
const { ONCEWARD_USER: user, ONCEWARD_SECRET: secret } = process.env;

// Not by frames, which is the default: a page that the browser takes for hidden draws none.
const PATIENCE = { timeout: 300_000, polling: 100 };
const EVERYTHING = process.env.ONCEWARD_PAGES === "all";
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let browser;
let site;
let origin;
let service;
let page_of_site = "";
let count = 0;

test.before(async () => {
  site = http.createServer((_, answer) => answer.end(page_of_site));
  await new Promise((listening) => { site.listen(0, "127.0.0.1", listening); });
  origin = `http://127.0.0.1:${site.address().port}`;
  const look = { AccentColor: "#ffd400", PrivacyUrl: "https://app.example/privacy", TermsUrl: "https://app.example/terms" };
  const urls = { ReturnUrls: `${origin}/verified`, EmbedOrigins: origin };
  service = (await api("/Services", { FriendlyName: "Owl Bank", ...look, ...urls })).sid;
  fs.mkdirSync(pictures, { recursive: true });
  browser = await puppeteer.launch({
    executablePath: chromium,
    headless: "shell",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    timeout: PATIENCE.timeout,
    protocolTimeout: 600_000,
  });
});

test.after(async () => {
  await browser?.close();
  site.close();
});

// Each width, and each scheme with and without scripts, once; or every combination, with pictures.
const walks = [[390, "light", true], [1280, "dark", true], [390, "dark", false], [1280, "light", false]];
if (EVERYTHING) {
  walks.push([390, "light", false], [1280, "dark", false], [390, "dark", true], [1280, "light", true]);
}
for (const [width, scheme, scripts] of walks) {
  test(`at ${width} px in the ${scheme} ${scripts ? "with" : "without"} scripts`, () => walk(width, scheme, scripts));
}

async function walk(width, scheme, scripts) {
  const { page, problems, close } = await opened(width, scheme, scripts);
  const session = await made({ ReturnUrl: `${origin}/verified`, Locale: scheme === "dark" ? "ar" : "en" });
  const shown = async (name) => {
    if (EVERYTHING) {
      const file = path.join(pictures, `hosted-${name}-${width}-${scheme}.png`);
      await page.screenshot({ path: file, captureBeyondViewport: false });
    }
    assert.deepEqual(problems, [], name);
    if (!scripts) return;
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(overflow <= 0, `${name} is ${overflow} px broader than the window`);
    const margins = await page.$eval("main", (main) => {
      const { left, right } = main.getBoundingClientRect();
      return [left, document.documentElement.clientWidth - right];
    });
    assert.ok(margins[0] >= 0 && Math.abs(margins[0] - margins[1]) <= 1, `${name} has the margins ${margins}`);
    await page.evaluate(axe.source);
    const options = { runOnly: TAGS, rules: { "target-size": { enabled: true } }, resultTypes: ["violations"] };
    const { violations } = await page.evaluate((given) => window.axe.run(document, given), options);
    const places = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
    assert.deepEqual(places, [], `axe on ${name}`);
  };
  // By keyboard only: Enter in a field or on the button in focus.
  const enter = () => Promise.all([page.waitForNavigation(PATIENCE), page.keyboard.press("Enter")]);
  const number = `+1415555${1000 + (count += 1)}`;

  await page.goto(session.url);
  await shown("start");
  await page.keyboard.press("Tab");
  await enter();
  await shown("number");
  await page.focus("#number");
  await page.keyboard.type("12");
  await enter();
  assert.equal(await focused(page), "number", "an error leads to its field");
  await page.$eval("#number", (field) => field.select());
  await page.keyboard.type(number);
  await enter();
  assert.equal(await focused(page), "code");
  if (scripts) assert.ok(await page.$eval(".resend", (button) => button.disabled), "it waits");
  await shown("code");
  await page.keyboard.type("000000");
  await enter();
  assert.equal(await focused(page), "code");
  await shown("wrong");
  await page.keyboard.type(await code(number));
  await enter();
  const back = new URL(page.url());
  assert.equal(back.origin + back.pathname, `${origin}/verified`);
  const result = await api(`/Services/${service}/HostedSessions/${session.sid}/Result`, { Code: back.searchParams.get("code") });
  assert.equal(result.to, number);
  await close();
}

test("in a frame of the guide's page, which gets the code", async () => {
  const { page, close } = await opened(1280, "light", true);
  const session = await made({ EmbedOrigin: origin, State: "7" });
  const guide = fs.readFileSync(path.join(__dirname, "../../docs/guides/hosted-page.md"), "utf8");
  const example = guide.match(/```html\n(.+?)```/s)[1].replace("https://codes.example.com", server);
  page_of_site = `<!doctype html><title>Site</title><div id="verify"></div><script>
    const url = ${JSON.stringify(session.url)};
    window.fetch = async (address, { body }) => { window.result = { address, ...Object.fromEntries(body) }; };</script>${example}`;
  const number = `+1415555${1000 + (count += 1)}`;
  await page.goto(origin);
  await (await framed(page, "#number")).type(number);
  await page.keyboard.press("Enter");
  await (await framed(page, "#code")).type(await code(number));
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.result, PATIENCE);
  const told = await page.evaluate(() => window.result);
  assert.deepEqual([told.address, told.state], ["/verified", "7"]);
  const result = await api(`/Services/${service}/HostedSessions/${session.sid}/Result`, { Code: told.code });
  assert.equal(result.to, number);
  assert.equal(await page.$("iframe"), null);

  // A session that returns to an address is in no frame.
  const other = await made({ ReturnUrl: `${origin}/verified` });
  page_of_site = `<!doctype html><title>Site</title><iframe src="${other.url}"></iframe>`;
  await page.goto(origin);
  const refused = page.frames().find((each) => each !== page.mainFrame());
  assert.equal(await refused.$("form").catch(() => null), null);
  await close();
});

test("in a frame that lost its cookie, which says so and fails the promise", async () => {
  const { page, close } = await opened(1280, "light", true);
  const [lost, next] = [await made({ EmbedOrigin: origin }), await made({ EmbedOrigin: origin })];
  page_of_site = `<!doctype html><title>Site</title><div id="here"></div><script src="${server}/verify.js"></script><script>
    const show = (url) => onceward.verify(url, { container: document.querySelector("#here") })
      .then(() => {}, (error) => { window.result = error.message; });
    show(${JSON.stringify(lost.url)});</script>`;
  await page.goto(origin);
  const field = await framed(page, "#number");
  const devtools = await page.createCDPSession();
  await devtools.send("Network.clearBrowserCookies");
  await field.type(`+1415555${1000 + (count += 1)}`);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.result, PATIENCE);
  assert.equal(await page.evaluate(() => window.result), "ended");
  const sentence = await framed(page, "main p");
  assert.match(await sentence.evaluate(({ textContent }) => textContent), /This link has expired/);

  // The next session replaces the frame.
  await page.evaluate((url) => { show(url); }, next.url);
  await framed(page, "#number");
  assert.equal((await page.$$("iframe")).length, 1);
  await close();
});

test("in a frame that stays open for longer than its session", async () => {
  const { page, close } = await opened(1280, "light", true);
  const session = await made({ EmbedOrigin: origin });
  page_of_site = `<!doctype html><title>Site</title><div id="here"></div><script>
    const later = window.setTimeout;
    window.setTimeout = (call, after) => later(call, after === 900000 ? 3000 : after);</script>
    <script src="${server}/verify.js"></script><script>
    onceward.verify(${JSON.stringify(session.url)}, { container: document.querySelector("#here") })
      .catch((error) => { window.result = error.message; });</script>`;
  await page.goto(origin);
  await framed(page, "#number");
  await page.waitForFunction(() => window.result, PATIENCE);
  assert.equal(await page.evaluate(() => window.result), "ended");
  await close();
});

async function opened(width, scheme, scripts) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE.timeout);
  await page.setViewport({ width, height: width === 390 ? 844 : 800 });
  await page.setJavaScriptEnabled(scripts);
  // verify.js gives a frame 5 s, which a busy machine may exceed.
  await page.evaluateOnNewDocument((patience) => {
    const later = window.setTimeout;
    window.setTimeout = (call, after) => later(call, after === 5000 ? patience : after);
  }, PATIENCE.timeout);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const problems = [];
  page.on("console", (message) => {
    const expected = /status of 400/.test(message.text());
    if (message.type() === "error" && !expected) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  return { page, problems, close: () => context.close() };
}

const framed = async (page, selector) => {
  for (let tries = 0; tries < 3000; tries += 1) {
    const frame = page.frames().find((each) => each !== page.mainFrame());
    const found = await frame?.$(selector).catch(() => null);
    if (found) return found;
    await new Promise((later) => { setTimeout(later, 100); });
  }
  throw new Error(`no ${selector}`);
};

const made = (form) => api(`/Services/${service}/HostedSessions`, form);

// The browser focuses a field some time after the page has loaded. Without scripts nothing in the page can wait for that.
const focused = async (page) => {
  for (const end = Date.now() + PATIENCE.timeout; Date.now() < end;) {
    const element = await page.$(":focus");
    if (element) return element.evaluate(({ id }) => id);
    await new Promise((later) => { setTimeout(later, 50); });
  }
  return null;
};

async function code(number) {
  for (let tries = 0; tries < 3000; tries += 1) {
    const answer = await fetch(`${server}/inbox/messages?to=${encodeURIComponent(number)}`);
    const { messages } = await answer.json();
    if (messages.length > 0) return messages[0].code;
    await new Promise((later) => { setTimeout(later, 100); });
  }
  throw new Error(`no message to ${number}`);
}

async function api(place, form) {
  const authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams(form);
  const answer = await fetch(`${server}/v2${place}`, { method: "POST", headers: { authorization }, body });
  assert.ok(answer.ok, `${place}: ${answer.status}`);
  return answer.json();
}
