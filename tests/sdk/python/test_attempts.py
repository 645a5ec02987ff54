"""Delivery attempts, and how many of them led to a verified number."""

import unittest
from datetime import datetime, timedelta, timezone

import own_server
from case import Case
from own_server import code_for


class Attempts(Case):
    def setUp(self):
        self.own = self.service()
        self.sid = self.own.sid
        self.numbers = [own_server.number() for _ in range(5)]
        self.made = [self.own.verifications.create(to=to, channel="sms") for to in self.numbers]
        for to in self.numbers[:2]:
            self.assertEqual(self.own.verification_checks.create(to=to, code=code_for(to)).status, "approved")
        self.own.verifications.create(to=self.numbers[4], channel="call")

    def list(self, **wishes):
        return self.verify.verification_attempts.list(verify_service_sid=self.sid, **wishes)

    def test_every_message_is_listed_the_newest_first_in_pages_of_any_size(self):
        whole = self.list()
        self.assertEqual([attempt.channel_data["to"] for attempt in whole], [self.numbers[4], *self.numbers[::-1]])
        for size in (1, 2, 5):
            self.assertEqual([a.sid for a in self.list(page_size=size)], [a.sid for a in whole])

    def test_a_list_can_be_narrowed(self):
        to = lambda attempts: sorted(attempt.channel_data["to"] for attempt in attempts)
        self.assertEqual(to(self.list(status="converted")), sorted(self.numbers[:2]))
        self.assertEqual(len(self.list(status="unconverted")), 4)
        self.assertEqual(to(self.list(channel="call")), [self.numbers[4]])
        self.assertEqual(to(self.list(channel_data_to=self.numbers[2])), [self.numbers[2]])
        self.assertEqual(to(self.list(verification_sid=self.made[3].sid)), [self.numbers[3]])
        self.assertEqual(len(self.list(country="US")), 6)
        self.assertEqual(self.list(country="DE"), [])
        now = datetime.now(timezone.utc)
        self.assertEqual(len(self.list(date_created_after=now - timedelta(hours=1))), 6)
        self.assertEqual(self.list(date_created_before=now - timedelta(hours=1)), [])

    def test_one_can_be_fetched_by_the_id_that_the_verification_tells(self):
        sid = self.made[0].send_code_attempts[0]["attempt_sid"]
        attempt = self.verify.verification_attempts(sid).fetch()
        self.assertEqual((attempt.sid, attempt.verification_sid, attempt.service_sid), (sid, self.made[0].sid, self.sid))
        self.assertEqual((attempt.conversion_status, attempt.channel), ("converted", "sms"))
        self.assertEqual((attempt.channel_data["to"], attempt.channel_data["country"]), (self.numbers[0], "US"))
        self.assertEqual(attempt.price, {"value": None, "currency": None})
        self.assert_recent(attempt.date_created)

    def test_an_unknown_one_is_not_found(self):
        with self.refused(20404, 404):
            self.verify.verification_attempts("VL" + "0" * 32).fetch()

    def test_the_summary_counts_them(self):
        summary = self.verify.verification_attempts_summary().fetch(verify_service_sid=self.sid)
        self.assertEqual((summary.total_attempts, summary.total_converted, summary.total_unconverted), (6, 2, 4))
        self.assertEqual(float(summary.conversion_rate_percentage), 33.333333333)
        calls = self.verify.verification_attempts_summary().fetch(verify_service_sid=self.sid, channel="call")
        self.assertEqual((calls.total_attempts, calls.total_converted), (1, 0))
        prefix = self.verify.verification_attempts_summary().fetch(verify_service_sid=self.sid, destination_prefix="+49")
        self.assertEqual((prefix.total_attempts, float(prefix.conversion_rate_percentage)), (0, 0))


if __name__ == "__main__":
    unittest.main()
