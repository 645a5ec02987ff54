"""Resources of a service or of the account: webhooks, messaging configurations, templates, the safe list."""

import json
import re
import unittest

from twilio.base.exceptions import TwilioRestException

import own_server
from case import Case


class Webhooks(Case):
    def setUp(self):
        self.own = self.service()

    def create(self, name="events", **wishes):
        usual = {"friendly_name": name, "event_types": ["*"], "webhook_url": "https://hooks.example.com/verify"}
        return self.own.webhooks.create(**{**usual, **wishes})

    def test_a_webhook_is_made_read_changed_listed_and_deleted(self):
        made = self.create(event_types=["verification.created", "verification.approved"])
        self.assert_sid("YW", made.sid)
        self.assertEqual((made.status, made.version, made.webhook_method), ("enabled", "v2", "POST"))
        self.assertEqual(made.webhook_url, "https://hooks.example.com/verify")
        self.assertEqual(sorted(made.event_types), ["verification.approved", "verification.created"])
        self.assert_recent(made.date_created)
        webhook = self.own.webhooks(made.sid)
        secret = self.client.request("GET", f"{made.url}/Secret").text
        self.assertRegex(json.loads(secret)["secret"], "^whsec_")
        changed = webhook.update(status="disabled", friendly_name="fewer events")
        self.assertEqual((changed.status, changed.friendly_name), ("disabled", "fewer events"))
        self.assertEqual(sorted(changed.event_types), sorted(made.event_types))
        self.assertEqual(webhook.fetch().status, "disabled")
        more = [self.create(f"events {index}").sid for index in range(3)]
        self.assertEqual(sorted(w.sid for w in self.own.webhooks.list(page_size=1)), sorted([made.sid, *more]))
        self.assertTrue(webhook.delete())
        with self.refused(20404, 404):
            webhook.fetch()

    def test_events_that_do_not_exist_and_addresses_that_lead_nowhere_are_refused(self):
        for wishes in ({"event_types": ["owl.seen"]}, {"webhook_url": "owl"}, {"webhook_url": "ftp://example.com/"}):
            with self.subTest(wishes), self.refused(60200, 400):
                self.create(**wishes)


class MessagingConfigurations(Case):
    def setUp(self):
        self.own = self.service()
        # The refusal names the configured gateways, and a client learns their ids from it.
        with self.assertRaises(TwilioRestException) as caught:
            self.create("MG" + "0" * 32)
        self.gateway = re.search(r"(MG[0-9a-f]{32}) \(Simulator\)", caught.exception.msg).group(1)

    def create(self, gateway, country="DE"):
        return self.own.messaging_configurations.create(country=country, messaging_service_sid=gateway)

    def test_one_is_made_read_changed_listed_and_deleted(self):
        made = self.create(self.gateway)
        self.assertEqual((made.country, made.messaging_service_sid), ("DE", self.gateway))
        self.assert_recent(made.date_created)
        one = self.own.messaging_configurations("DE")
        self.assertEqual(one.fetch().service_sid, made.service_sid)
        self.assertEqual(one.update(messaging_service_sid=self.gateway).country, "DE")
        for country in ("FR", "IT", "ES"):
            self.create(self.gateway, country)
        listed = [configuration.country for configuration in self.own.messaging_configurations.list(page_size=2)]
        self.assertEqual(sorted(listed), ["DE", "ES", "FR", "IT"])
        self.assertTrue(one.delete())
        with self.refused(20404, 404):
            one.fetch()

    def test_messages_go_through_it(self):
        self.create(self.gateway, "US")
        to = own_server.number()
        self.own.verifications.create(to=to, channel="sms")
        self.assertEqual(len(own_server.inbox(to)), 1)

    def test_a_country_has_one_and_must_exist(self):
        self.create(self.gateway)
        with self.refused(60213, 400):
            self.create(self.gateway)
        with self.refused(60200, 400, "Country"):
            self.create(self.gateway, "QQ1")


class Templates(Case):
    def test_they_are_listed_in_pages_with_their_translations(self):
        whole = self.verify.templates.list()
        self.assertEqual([t.sid for t in self.verify.templates.list(page_size=1)], [t.sid for t in whole])
        login = next(template for template in whole if template.friendly_name == "login")
        self.assert_sid("HJ", login.sid)
        self.assertEqual(sorted(login.channels), ["sms", "voice", "whatsapp"])
        self.assertEqual(sorted(login.translations), ["de", "en"])
        self.assertEqual(login.translations["en"]["text"], "{code} opens {{door}} of {friendly_name}")

    def test_a_name_narrows_the_list(self):
        self.assertEqual([t.friendly_name for t in self.verify.templates.list(friendly_name="login")], ["login"])
        self.assertEqual(self.verify.templates.list(friendly_name="nothing"), [])


class SafeList(Case):
    def test_a_number_is_put_on_it_found_and_taken_off(self):
        to = own_server.number()
        made = self.verify.safelist.create(phone_number=to)
        self.assert_sid("GN", made.sid)
        self.assertEqual(made.phone_number, to)
        with self.refused(60411, 400):
            self.verify.safelist.create(phone_number=to)
        found = self.verify.safelist(to).fetch()
        self.assertEqual((found.sid, found.phone_number), (made.sid, to))
        self.assertTrue(self.verify.safelist(to).delete())
        for gone in (self.verify.safelist(to).fetch, self.verify.safelist(to).delete):
            with self.refused(20404, 404):
                gone()

    def test_what_is_no_number_is_refused(self):
        with self.refused(60200, 400, "PhoneNumber"):
            self.verify.safelist.create(phone_number="owl")


if __name__ == "__main__":
    unittest.main()
