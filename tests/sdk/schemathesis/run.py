#!/usr/bin/env python3
"""Has schemathesis try the server under test by its own description, /openapi.json.

The address and the credentials come from the environment, as for the other tests here. ONCEWARD_SCHEMATHESIS=long tries
ten times as much; a number is the seed in place of 1, as in `ONCEWARD_SCHEMATHESIS=long:42`.
What is checked, and what is known to be otherwise, is in schemathesis.toml.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# Cases for each operation. The short run takes less than two minutes beside other tests.
SHORT, LONG = 60, 600


def main():
    length, _, seed = os.environ.get("ONCEWARD_SCHEMATHESIS", "short").partition(":")
    if length not in ("short", "long"):
        sys.exit(f"ONCEWARD_SCHEMATHESIS is {length!r}, and must be short or long, perhaps with a seed: long:42")
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as directory:
        command = [
            pathlib.Path(sys.executable).with_name("schemathesis"),
            f"--config-file={here / 'schemathesis.toml'}",
            "run",
            f"{os.environ['ONCEWARD_URL']}/openapi.json",
            f"--max-examples={LONG if length == 'long' else SHORT}",
            f"--seed={seed or 1}",
            "--no-color",
        ]
        # What it leaves behind must not be found by the next run, nor lie in the source.
        ended = subprocess.run(command, cwd=directory, check=False)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
