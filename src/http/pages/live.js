"use strict";

// Keeps a page current: after each event of `data-events` it loads the page again and takes over the
// elements with `data-live`. No text becomes markup here: the server has escaped the page, and its policy runs no other
// script.

const page = document.body.dataset;
// The server's clock minus this machine's.
let ahead = 0;
let source = null;
let loading = false;
let again = false;
let late = 0;

document.documentElement.classList.add("js");

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
}

async function refresh() {
  again = loading;
  if (loading) return;
  loading = true;
  try {
    const response = await fetch(location.href, {
      cache: "no-store",
      headers: { accept: "text/html" },
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    // A session is over.
    if (response.redirected) return location.reload();
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    setClock(fresh.body.dataset.now);
    each("[data-live]", (old) => {
      const part = fresh.getElementById(old.id);
      if (part) take(old, part);
    });
    tick();
  } catch (error) {
    say(`The page could not be updated (${error.message}). Trying again.`);
    setTimeout(refresh, 3000);
  }
  loading = false;
  if (again) refresh();
}

function open() {
  source = new EventSource(page.events);
  source.onopen = () => {
    clearTimeout(late);
    late = 0;
    say("");
    refresh();
  };
  source.onmessage = refresh;
  source.onerror = () => {
    // A stream ends now and then, and the browser opens the next one.
    if (!late) late = setTimeout(() => say("The server does not answer. Trying again."), 3000);
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, 3000);
  };
}

// A hidden page needs no events: browsers limit the connections to a server.
function reopen() {
  source?.close();
  source = null;
  if (!document.hidden) open();
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
setInterval(tick, 1000);
if (page.events) {
  document.addEventListener("visibilitychange", reopen);
  reopen();
}
