"""Rate limits: what their buckets count."""

import json
import unittest

import own_server
from case import Case


class RateLimits(Case):
    def test_beyond_a_bucket_nothing_is_sent_for_that_value_alone(self):
        own = self.service()
        own.rate_limits(own.rate_limits.create(unique_name="session").sid).buckets.create(max=2, interval=3600)

        def send(session):
            own.verifications.create(to=own_server.number(), channel="sms", rate_limits=json.dumps({"session": session}))

        send("a")
        send("a")
        to = own_server.number()
        form = {"To": to, "Channel": "sms", "RateLimits": '{"session":"a"}'}
        status, headers, body = own_server.answer("POST", f"/v2/Services/{own.sid}/Verifications", form)
        self.assertEqual((status, body["code"]), (429, 20429))
        self.assertIn(int(headers["X-Onceward-Retry-After"]), range(1, 3601))
        self.assertNotIn("Retry-After", headers)
        self.assertEqual(own_server.inbox(to), [])
        send("b")
        own.verifications.create(to=to, channel="sms")


if __name__ == "__main__":
    unittest.main()
