"use strict";

// Keeps a page current: every `data-every` milliseconds it loads the page again, and takes over
// the elements with `data-live`. No text becomes markup here: the server has escaped the page, and its policy runs no other
// script.

const page = document.body.dataset;
// The server's clock minus this machine's.
let ahead = 0;
let loading = false;

document.documentElement.classList.add("js");

const countries = new Intl.DisplayNames(["en"], { type: "region" });
const each = (selector, visit) => document.querySelectorAll(selector).forEach(visit);

function setClock(now) {
  if (now) ahead = Number(now) - Date.now();
}

// As the server words it. `round` is Math.floor for what has passed and Math.ceil for what is left.
function span(ms, round) {
  const seconds = Math.max(0, round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// What the page shows is as the server has it now.
function updated() {
  say("");
  const shown = document.getElementById("updated");
  if (shown) shown.textContent = new Date(Date.now() + ahead).toISOString().slice(0, 19).replace("T", " ");
}

// The name of each country beside its code, in the words of the browser.
function nameCountries(parent) {
  for (const part of parent.querySelectorAll("[data-country]")) {
    part.textContent = `${countries.of(part.dataset.country)} (${part.dataset.country})`;
  }
}

function tick() {
  const now = Date.now() + ahead;
  each("[data-since]", (part) => {
    part.textContent = `${span(now - Number(part.dataset.since), Math.floor)} ago`;
  });
  each("[data-until]", (part) => {
    const left = Number(part.dataset.until) - now;
    if (left > 0) {
      part.textContent = `expires in ${span(left, Math.ceil)}`;
    } else {
      part.removeAttribute("data-until");
      refresh();
    }
  });
}

// Says what is wrong with the connection; nothing if it works.
function say(problem) {
  const line = document.getElementById("connection");
  if (line) {
    line.hidden = !problem;
    line.textContent = problem;
  }
}

// Elements with the same `data-id` on both pages stay, with what is selected in them.
function take(old, fresh) {
  const ids = (parent) => [...parent.querySelectorAll("[data-id]")].map((part) => part.dataset.id);
  const [before, after] = [ids(old), ids(fresh)];
  const same = before.length === after.length && after.every((id, at) => id === before[at]);
  if (after.length > 0 && same) return;
  if (after.length === 0 && old.textContent === fresh.textContent) return;
  const nodes = [...fresh.childNodes].map((node) => document.adoptNode(node));
  // Opened details and the focus survive.
  const opened = [...old.querySelectorAll("details[open]")].map((part) => part.id);
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  old.replaceChildren(...nodes);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  for (const part of old.querySelectorAll("[data-id]")) {
    part.classList.toggle("fresh", !before.includes(part.dataset.id));
  }
  // A message that arrives below the window comes into it, unless a person types.
  const arrived = old.querySelector(".fresh");
  const isBelow = arrived && arrived.getBoundingClientRect().bottom > window.innerHeight;
  if (isBelow && document.activeElement === document.body) arrived.scrollIntoView({ block: "nearest" });
}

async function refresh() {
  if (loading) return;
  loading = true;
  try {
    const response = await fetch(location.href, {
      cache: "no-store",
      headers: { accept: "text/html" },
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    // A session is over: the sign-in leads back to this page.
    if (response.redirected) return location.reload();
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    setClock(fresh.body.dataset.now);
    nameCountries(fresh);
    each("[data-live]", (old) => {
      const part = fresh.getElementById(old.id);
      if (part) take(old, part);
    });
    updated();
    tick();
  } catch (error) {
    say(`The page could not be updated (${error.message}). Trying again.`);
  }
  loading = false;
}

// A hidden page asks for nothing.
function poll() {
  if (!document.hidden) refresh();
}

async function copy(button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    // Browsers offer the clipboard on https and localhost only.
    button.textContent = "Select and copy";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

document.addEventListener("click", ({ target }) => {
  if (target.dataset.copy !== undefined) copy(target);
});

setClock(page.now);
nameCountries(document);
setInterval(tick, 1000);
if (page.every) {
  setInterval(poll, Number(page.every));
  document.addEventListener("visibilitychange", poll);
}
