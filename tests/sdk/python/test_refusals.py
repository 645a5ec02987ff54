"""A refusal is an exception of the package with Twilio's error code."""

import unittest

import own_server
from case import Case


class Credentials(Case):
    def test_a_wrong_credential_is_20003(self):
        for account, token in (
            (own_server.ACCOUNT_SID, "0" * 32),
            ("AC" + "0" * 32, own_server.AUTH_TOKEN),
            ("AC" + "0" * 32, "0" * 32),
        ):
            with self.subTest((account, token)), self.refused(20003, 401):
                own_server.client(account, token).verify.v2.services.list()


class Unknown(Case):
    def test_what_does_not_exist_is_20404(self):
        nowhere = self.verify.services("VA" + "0" * 32)
        own = self.service()
        for ask in (
            nowhere.fetch,
            nowhere.delete,
            lambda: nowhere.verifications.create(to=own_server.number(), channel="sms"),
            lambda: nowhere.verification_checks.create(to="+14155550100", code="123456"),
            lambda: nowhere.rate_limits.list(),
            own.verifications("VE" + "0" * 32).fetch,
            own.rate_limits("RK" + "0" * 32).fetch,
            own.webhooks("YW" + "0" * 32).fetch,
            own.messaging_configurations("FR").fetch,
            self.verify.services("no-id").fetch,
            self.verify.safelist(own_server.number()).delete,
        ):
            with self.refused(20404, 404, "was not found"):
                ask()

    def test_what_is_not_served_says_so(self):
        own = self.service()
        for ask in (
            lambda: own.entities.list(),
            lambda: own.access_tokens.create(identity="owl", factor_type="push"),
            lambda: self.verify.forms("form-push").fetch(),
        ):
            with self.refused(20404, 404, "served here"):
                ask()


class Parameters(Case):
    def setUp(self):
        self.own = self.service()

    def test_a_number_that_cannot_be_one_is_60200(self):
        for to in ("", "owl", "4155550100", "+1", "+999123456789", "+141555501000000", "owl@example.com"):
            with self.subTest(to), self.refused(60200, 400, "To"):
                self.own.verifications.create(to=to, channel="sms")

    def test_a_channel_that_is_not_served_is_60200(self):
        for channel in ("sna", "push", "owl", ""):
            with self.subTest(channel), self.refused(60200, 400, "Channel"):
                self.own.verifications.create(to=own_server.number(), channel=channel)

    def test_other_parameters_that_cannot_be_are_60200(self):
        for wish, value in {
            "locale": "not a language",
            "app_hash": "short",
            "custom_friendly_name": "x" * 31,
            "template_sid": "HJ1",
            "rate_limits": "no object",
            "tags": "[1]",
            "device_ip": "owl",
            "send_digits": "abc",
            "risk_check": "perhaps",
            "amount": "10 EUR",
            "payee": "Owl",
        }.items():
            to = own_server.number()
            parameter = wish.title().replace("_", "")
            with self.subTest(wish), self.refused(60200, 400, parameter):
                self.own.verifications.create(to=to, channel="sms", **{wish: value})
            self.assertEqual(own_server.inbox(to), [])

    def test_a_service_that_cannot_be_is_60200(self):
        for wishes in ({"code_length": 3}, {"code_length": 11}, {"friendly_name": ""}, {"default_template_sid": "HJ1"}):
            with self.subTest(wishes), self.refused(60200, 400, "Invalid parameter"):
                self.verify.services.create(**{"friendly_name": "Owl Bank", **wishes})

    def test_a_configuration_is_of_a_country_that_exists(self):
        with self.refused(60200, 400, "Country"):
            self.own.messaging_configurations.create(country="QQ", messaging_service_sid="MG" + "0" * 32)

    def test_a_bucket_counts_something_over_some_time(self):
        limit = self.own.rate_limits(self.own.rate_limits.create(unique_name="session").sid)
        for wishes in ({"max": 0, "interval": 60}, {"max": 1, "interval": 0}):
            with self.subTest(wishes), self.refused(60200, 400):
                limit.buckets.create(**wishes)

    def test_a_status_that_nobody_can_set_is_60200(self):
        to = own_server.number()
        made = self.own.verifications.create(to=to, channel="sms")
        with self.refused(60200, 400, "Status"):
            self.own.verifications(made.sid).update(status="pending")


if __name__ == "__main__":
    unittest.main()
