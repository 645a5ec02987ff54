"""The official package with one line instead of an HTTP client, as the README and the quickstart tell users."""

import unittest

from twilio.rest import Client

from own_server import ACCOUNT_SID, AUTH_TOKEN, URL, code_for, number


class BaseUrl(unittest.TestCase):
    def setUp(self):
        self.client = Client(ACCOUNT_SID, AUTH_TOKEN)
        self.client.verify.base_url = URL

    def service(self, name):
        made = self.client.verify.v2.services.create(friendly_name=name)
        self.addCleanup(made.delete)
        return made

    def test_a_number_is_verified(self):
        service = self.service("Acme")
        calls = self.client.verify.v2.services(service.sid)
        to = number()
        verification = calls.verifications.create(to=to, channel="sms")
        check = calls.verification_checks.create(verification_sid=verification.sid, code=code_for(to))
        self.assertEqual(check.status, "approved")

    def test_further_pages_come_from_the_server(self):
        made = {self.service(name).sid for name in ("one", "two", "three")}
        listed = {service.sid for service in self.client.verify.v2.services.stream(page_size=1)}
        self.assertLessEqual(made, listed)
