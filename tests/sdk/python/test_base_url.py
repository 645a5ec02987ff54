"""The official package with one line instead of an HTTP client: docs/guides/twilio-sdks.md and the quickstart."""

import contextlib
import io
import os
import re
import unittest
from pathlib import Path
from unittest.mock import patch

from twilio.rest import Client

from own_server import URL, client, code_for, number

ROOT = Path(__file__).resolve().parents[3]


class BaseUrl(unittest.TestCase):
    def setUp(self):
        guide = (ROOT / "docs/guides/twilio-sdks.md").read_text(encoding="utf-8")
        made = {"Client": Client, "os": os}
        exec(re.search(r"```python\n(.+?)```", guide, re.DOTALL)[1].replace("http://localhost:3000", URL), made)
        self.client = made["client"]

    def service(self, name):
        made = self.client.verify.v2.services.create(friendly_name=name)
        self.addCleanup(made.delete)
        return made

    def test_the_program_of_the_quickstart_verifies_a_number(self):
        program = ROOT / "examples/quickstart/verify.py"
        to = number()
        text = program.read_text(encoding="utf-8").replace("+14155552672", to)
        with (
            patch.dict("os.environ", API=URL, SERVICE=self.service("Acme").sid),
            contextlib.redirect_stdout(io.StringIO()) as printed,
        ):
            exec(text, {"input": lambda _: code_for(to)})
        self.assertEqual(printed.getvalue(), "approved\n")

    def test_a_number_is_looked_up(self):
        found = self.client.lookups.v2.phone_numbers("+447400123456").fetch(fields="line_type_intelligence")
        self.assertEqual((found.valid, found.country_code, found.line_type_intelligence["type"]), (True, "GB", "mobile"))
        wrong = self.client.lookups.v2.phone_numbers("+11234567890").fetch()
        self.assertEqual((wrong.valid, wrong.validation_errors), (False, ["INVALID_BUT_POSSIBLE"]))
        older = self.client.lookups.v1.phone_numbers("07400123456").fetch(country_code="GB", type=["carrier"])
        self.assertEqual((older.phone_number, older.carrier["type"]), ("+447400123456", "mobile"))

    def test_the_http_client_leads_to_lookup_too(self):
        found = client().lookups.v2.phone_numbers("+447400123456").fetch()
        self.assertTrue(found.url.startswith(URL), found.url)

    def test_further_pages_come_from_the_server(self):
        made = {self.service(name).sid for name in ("one", "two", "three")}
        listed = {service.sid for service in self.client.verify.v2.services.stream(page_size=1)}
        self.assertLessEqual(made, listed)
