"""Rate limits and their buckets."""

import json
import unittest

import own_server
from case import Case


class RateLimits(Case):
    def setUp(self):
        self.own = self.service()

    def limit(self, name="session", **wishes):
        made = self.own.rate_limits.create(unique_name=name, **wishes)
        return made, self.own.rate_limits(made.sid)

    def send(self, **values):
        limits = json.dumps(values) if values else None
        return self.own.verifications.create(to=own_server.number(), channel="sms", **({"rate_limits": limits} if limits else {}))

    def test_a_limit_is_made_read_changed_listed_and_deleted(self):
        made, limit = self.limit(description="one a session")
        self.assert_sid("RK", made.sid)
        self.assertEqual((made.unique_name, made.description), ("session", "one a session"))
        self.assert_recent(made.date_created)
        self.assertEqual(limit.fetch().unique_name, "session")
        self.assertEqual(self.own.rate_limits("session").fetch().sid, made.sid)
        self.assertEqual(limit.update(description="a few a session").description, "a few a session")
        names = [self.limit(f"other_{index}")[0].unique_name for index in range(5)]
        listed = [limit.unique_name for limit in self.own.rate_limits.list(page_size=2)]
        self.assertEqual(sorted(listed), sorted(["session", *names]))
        self.assertTrue(limit.delete())
        with self.refused(20404, 404):
            limit.fetch()
        self.assertEqual(len(self.own.rate_limits.list()), 5)

    def test_a_bucket_is_made_read_changed_listed_and_deleted(self):
        made_limit, limit = self.limit()
        made = limit.buckets.create(max=5, interval=60)
        self.assert_sid("BL", made.sid)
        self.assertEqual((made.max, made.interval, made.rate_limit_sid), (5, 60, made_limit.sid))
        changed = limit.buckets(made.sid).update(max=6)
        self.assertEqual((changed.max, changed.interval), (6, 60))
        with self.refused(60211, 400):
            limit.buckets.create(max=7, interval=60)
        self.assertEqual(limit.buckets(made.sid).fetch().max, 6)
        for interval in (3600, 86_400):
            limit.buckets.create(max=10, interval=interval)
        self.assertEqual(sorted(bucket.interval for bucket in limit.buckets.list(page_size=1)), [60, 3600, 86_400])
        self.assertTrue(limit.buckets(made.sid).delete())
        with self.refused(20404, 404):
            limit.buckets(made.sid).fetch()

    def test_requests_beyond_a_bucket_are_refused_for_that_value_only(self):
        _, limit = self.limit()
        limit.buckets.create(max=2, interval=3600)
        self.send(session="a")
        self.send(session="a")
        with self.refused(20429, 429):
            self.send(session="a")
        self.send(session="b")
        self.send()

    def test_a_refused_request_sends_nothing_and_tells_when_to_come_again(self):
        _, limit = self.limit()
        limit.buckets.create(max=1, interval=3600)
        self.send(session="a")
        to = own_server.number()
        form = {"To": to, "Channel": "sms", "RateLimits": '{"session":"a"}'}
        status, headers, body = own_server.answer("POST", f"/v2/Services/{self.own.sid}/Verifications", form)
        self.assertEqual((status, body["code"]), (429, 20429))
        self.assertIn(int(headers["X-Onceward-Retry-After"]), range(1, 3601))
        self.assertNotIn("Retry-After", headers)
        self.assertEqual(own_server.inbox(to), [])

    def test_a_bucket_counts_something_over_some_time(self):
        _, limit = self.limit()
        for wishes in ({"max": 0, "interval": 60}, {"max": 1, "interval": 0}):
            with self.subTest(wishes), self.refused(60200, 400):
                limit.buckets.create(**wishes)


if __name__ == "__main__":
    unittest.main()
