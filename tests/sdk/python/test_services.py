"""Services: create, read, change, list in pages, delete."""

import unittest

import own_server
from case import Case


class Services(Case):
    def test_a_service_is_made_with_what_was_asked_for(self):
        made = self.verify.services.create(
            friendly_name="Owl Bank",
            code_length=8,
            lookup_enabled=True,
            skip_sms_to_landlines=True,
            dtmf_input_required=False,
            tts_name="Owl",
            psd2_enabled=False,
            do_not_share_warning_enabled=True,
            custom_code_enabled=True,
        )
        self.addCleanup(made.delete)
        self.assert_sid("VA", made.sid)
        self.assertEqual(made.account_sid, own_server.ACCOUNT_SID)
        self.assertEqual((made.friendly_name, made.code_length, made.tts_name), ("Owl Bank", 8, "Owl"))
        on = (made.lookup_enabled, made.skip_sms_to_landlines, made.do_not_share_warning_enabled, made.custom_code_enabled)
        self.assertEqual(on, (True, True, True, True))
        self.assertEqual((made.dtmf_input_required, made.psd2_enabled), (False, False))
        self.assert_recent(made.date_created)
        self.assertEqual(made.url, f"{own_server.URL}/v2/Services/{made.sid}")
        self.assertEqual(made.links["verifications"], f"{made.url}/Verifications")

    def test_a_service_reads_the_same_when_it_is_fetched(self):
        made = self.verify.services.create(friendly_name="Owl Bank")
        self.addCleanup(made.delete)
        fetched = self.verify.services(made.sid).fetch()
        for name in ("sid", "friendly_name", "code_length", "date_created", "date_updated", "url", "links", "push", "totp"):
            self.assertEqual(getattr(fetched, name), getattr(made, name), name)
        self.assertEqual(made.code_length, 6)

    def test_an_update_changes_what_it_names_and_nothing_else(self):
        made = self.verify.services.create(friendly_name="Owl Bank", tts_name="Owl", code_length=5)
        self.addCleanup(made.delete)
        changed = made.update(code_length=7)
        self.assertEqual((changed.friendly_name, changed.tts_name, changed.code_length), ("Owl Bank", "Owl", 7))
        self.assertGreaterEqual(changed.date_updated, made.date_updated)
        self.assertEqual(changed.date_created, made.date_created)
        self.assertEqual(self.verify.services(made.sid).fetch().code_length, 7)

    def test_a_deleted_service_is_gone(self):
        made = self.verify.services.create(friendly_name="Owl Bank")
        self.assertTrue(made.delete())
        with self.refused(20404, 404, "was not found"):
            self.verify.services(made.sid).fetch()
        with self.refused(20404, 404):
            self.verify.services(made.sid).delete()

    def test_what_cannot_be_is_refused(self):
        for wishes in ({"code_length": 3}, {"code_length": 11}, {"friendly_name": ""}, {"default_template_sid": "HJ1"}):
            with self.subTest(wishes), self.refused(60200, 400, "Invalid parameter"):
                self.verify.services.create(**{"friendly_name": "Owl Bank", **wishes})


class Pages(Case):
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
        self.assertEqual([service.sid for service in back], self.sids_of_second(first))

    def sids_of_second(self, first):
        return [service.sid for service in self.verify.services.get_page(first.next_page_url)]

    def test_the_last_page_leads_nowhere(self):
        count = len(self.verify.services.list())
        page = self.verify.services.page(page_size=count)
        self.assertIsNone(page.next_page_url)
        self.assertIsNone(page.next_page())


if __name__ == "__main__":
    unittest.main()
