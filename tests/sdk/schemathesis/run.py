#!/usr/bin/env python3
"""Runs schemathesis against the server under test with the server's own description, /openapi.json.

The address and the credentials come from the environment, as for the other tests here. ONCEWARD_SCHEMATHESIS=long tries
many more cases; a number is the seed in place of 1, as in `ONCEWARD_SCHEMATHESIS=long:42`.
schemathesis.toml has the checks and the known exceptions.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from own_server import answer

# Cases for each operation.
SHORT, LONG = 4, 500


def main():
    length, _, seed = os.environ.get("ONCEWARD_SCHEMATHESIS", "short").partition(":")
    if length not in ("short", "long"):
        sys.exit(f"ONCEWARD_SCHEMATHESIS is {length!r}, and must be short or long, perhaps with a seed: long:42")
    examples = LONG if length == "long" else SHORT
    # It deletes everything that it knows, and deleted resources are not found. Therefore the first run deletes nothing.
    # The others have what it left out: deletions, and requests after them.
    for options in (["--exclude-method=DELETE"], ["--include-method=DELETE"], ["--phases=stateful"]):
        if code := schemathesis(examples, seed or "1", *options):
            sys.exit(code)


def schemathesis(examples, seed, *options):
    """Runs schemathesis, and returns its exit code."""
    here = pathlib.Path(__file__).parent.resolve()
    # The next run must not find this run's files, and they must not be in the source.
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "schemathesis.toml")
        config.write_text(filled_in((here / "schemathesis.toml").read_text("utf-8")), "utf-8")
        command = [
            pathlib.Path(sys.executable).with_name("schemathesis"),
            f"--config-file={config}",
            "run",
            f"{os.environ['ONCEWARD_URL']}/openapi.json",
            f"--max-examples={examples}",
            f"--seed={seed}",
            "--no-color",
            *options,
        ]
        environment = {
            # For each request, its client reads all variables in search of a proxy.
            "PATH": os.environ["PATH"],
            # The folder of hooks.py.
            "PYTHONPATH": str(here),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Hypothesis keeps tables of characters there, which take seconds to make, and no cases.
            "HYPOTHESIS_STORAGE_DIRECTORY": str(pathlib.Path(sys.prefix, "hypothesis")),
        }
        return subprocess.run(command, cwd=directory, env=environment, check=False).returncode


def filled_in(text):
    """The configuration with its variables replaced; schemathesis itself replaces only some of them."""
    values = os.environ | made()
    return re.sub(r"\$\{(\w+)\}", lambda place: values[place.group(1)], text)


def made():
    """Creates a resource of each kind: many requests then find one."""

    def create(path, **form):
        status, _, body = answer("POST", f"/v2/{path}", form)
        assert status in (200, 201), body
        return body

    service = create("Services", FriendlyName="Owl Bank", CustomCodeEnabled="true")["sid"]
    below = f"Services/{service}"
    verification = create(f"{below}/Verifications", To="+14155550198", Channel="sms")
    limit = create(f"{below}/RateLimits", UniqueName="session")["sid"]
    webhook = {"FriendlyName": "events", "EventTypes": "*", "WebhookUrl": "https://hooks.example.com/"}
    # The refusal names the configured gateways, and a client learns their ids from it.
    form = {"Country": "DE", "MessagingServiceSid": "MG" + "0" * 32}
    _, _, refused = answer("POST", f"/v2/{below}/MessagingConfigurations", form)
    return {
        "MADE_SERVICE": service,
        "MADE_VERIFICATION": verification["sid"],
        "MADE_ATTEMPT": verification["send_code_attempts"][0]["attempt_sid"],
        "MADE_LIMIT": limit,
        "MADE_BUCKET": create(f"{below}/RateLimits/{limit}/Buckets", Max="1000", Interval="60")["sid"],
        "MADE_WEBHOOK": create(f"{below}/Webhooks", **webhook)["sid"],
        "MADE_GATEWAY": re.search("MG[0-9a-f]{32}", refused["message"]).group(),
    }


if __name__ == "__main__":
    main()
