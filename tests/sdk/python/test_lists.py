"""Lists in pages, and the templates that they list."""

import re
import unittest

from twilio.base.exceptions import TwilioRestException

from case import Case


class Services(Case):
    def setUp(self):
        self.made = [self.service(friendly_name=f"Owl {index}").sid for index in range(7)]

    def test_a_list_is_the_same_in_pages_of_any_size_the_newest_first(self):
        whole = [service.sid for service in self.verify.services.list()]
        self.assertEqual(whole[:7], self.made[::-1])
        self.assertGreaterEqual(len(whole), 8, "the service of the compatible routes is listed too")
        for size in (1, 2, 3, 7, 100):
            with self.subTest(size=size):
                self.assertEqual([service.sid for service in self.verify.services.list(page_size=size)], whole)

    def test_a_limit_ends_a_list_in_the_middle_of_a_page(self):
        self.assertEqual([service.sid for service in self.verify.services.list(limit=5, page_size=2)], self.made[:1:-1])
        self.assertEqual(len(list(self.verify.services.stream(limit=4, page_size=3))), 4)

    def test_pages_lead_forwards_and_backwards(self):
        first = self.verify.services.page(page_size=3)
        self.assertIsNone(first.previous_page_url)
        second = first.next_page()
        third = second.next_page()
        sids = [[service.sid for service in page] for page in (first, second, third)]
        self.assertEqual([len(page) for page in sids[:2]], [3, 3])
        self.assertEqual(len({sid for page in sids for sid in page}), sum(map(len, sids)))
        back = third.previous_page()
        self.assertEqual([service.sid for service in self.verify.services.get_page(second.previous_page_url)], sids[0])
        again = self.verify.services.get_page(first.next_page_url)
        self.assertEqual([service.sid for service in back], [service.sid for service in again])

    def test_the_last_page_leads_nowhere(self):
        count = len(self.verify.services.list())
        page = self.verify.services.page(page_size=count)
        self.assertIsNone(page.next_page_url)
        self.assertIsNone(page.next_page())

    def test_a_service_links_to_what_belongs_to_it(self):
        service = self.verify.services(self.made[0]).fetch()
        expected = {
            "access_tokens": "/AccessTokens",
            "entities": "/Entities",
            "messaging_configurations": "/MessagingConfigurations",
            "rate_limits": "/RateLimits",
            "verification_checks": "/VerificationCheck",
            "verifications": "/Verifications",
            "webhooks": "/Webhooks",
        }
        self.assertEqual(service.links, {name: service.url + path for name, path in expected.items()})


class OfAService(Case):
    def test_each_list_has_all_in_pages(self):
        own = self.service()
        own.rate_limits.create(unique_name="session")
        # The name stands for the id.
        limit = own.rate_limits("session").fetch()
        self.assertEqual(limit.links, {"buckets": f"{limit.url}/Buckets"})
        with self.assertRaises(TwilioRestException) as caught:
            own.messaging_configurations.create(country="DE", messaging_service_sid="MG" + "0" * 32)
        gateway = re.search(r"(MG[0-9a-f]{32}) \(Simulator\)", caught.exception.msg).group(1)
        events = {"event_types": ["*"], "webhook_url": "https://hooks.example.com/verify"}
        for kind, wishes in (
            (own.rate_limits(limit.sid).buckets, [{"max": 9, "interval": interval} for interval in (60, 3600, 86_400)]),
            (own.webhooks, [{"friendly_name": name, **events} for name in ("one", "two", "three")]),
            (
                own.messaging_configurations,
                [{"country": country, "messaging_service_sid": gateway} for country in ("DE", "FR", "IT")],
            ),
        ):
            with self.subTest(kind):
                made = [kind.create(**each).url for each in wishes]
                self.assertCountEqual([one.url for one in kind.list(page_size=2)], made)


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


if __name__ == "__main__":
    unittest.main()
