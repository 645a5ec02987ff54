"""Many concurrent callers: the server counts nothing twice, approves nothing twice, and fails no request."""

import threading
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from twilio.base.exceptions import TwilioRestException

import own_server
from case import Case
from own_server import code_for

CALLERS = 50


class Parallel(Case):
    """Each caller has its own client, and all begin at the same moment."""

    def setUp(self):
        self.sid = self.service().sid
        self.barrier = threading.Barrier(CALLERS)
        self.local = threading.local()

    def own(self):
        if not hasattr(self.local, "client"):
            self.local.client = own_server.client()
        return self.local.client.verify.v2.services(self.sid)

    def outcome(self, ask):
        """The status, or the code of the error. A server error fails the test."""
        try:
            return ask().status
        except TwilioRestException as error:
            self.assertLess(error.status, 500, error)
            return error.code

    def all_at_once(self, work):
        def begin(index):
            own = self.own()
            self.barrier.wait(60)
            return work(own, index)

        with ThreadPoolExecutor(CALLERS) as pool:
            return [outcome for outcomes in pool.map(begin, range(CALLERS)) for outcome in outcomes]

    def test_different_numbers_do_not_get_in_each_others_way(self):
        def work(own, _):
            outcomes = []
            for _ in range(6):
                to = own_server.number()
                outcomes.append(self.outcome(lambda: own.verifications.create(to=to, channel="sms")))
                code = code_for(to)
                for guess in (own_server.wrong(code), code, code):
                    outcomes.append(self.outcome(lambda: own.verification_checks.create(to=to, code=guess)))
            return outcomes

        outcomes = Counter(self.all_at_once(work))
        self.assertEqual(outcomes, {"pending": 2 * 6 * CALLERS, "approved": 6 * CALLERS, 20404: 6 * CALLERS})

    def test_a_right_code_is_approved_once_however_many_ask(self):
        for round in range(5):
            to = own_server.number()
            made = self.own().verifications.create(to=to, channel="sms")
            code = code_for(to)
            target = ({"to": to}, {"verification_sid": made.sid})
            outcomes = Counter(
                self.all_at_once(
                    lambda own, index: [
                        self.outcome(lambda: own.verification_checks.create(code=code, **target[index % 2]))
                    ]
                )
            )
            self.assertEqual(outcomes, {"approved": 1, 20404: CALLERS - 1}, f"round {round}")

    def test_five_guesses_are_five_however_many_guess(self):
        to = own_server.number()
        self.own().verifications.create(to=to, channel="sms")
        code = code_for(to)
        outcomes = Counter(
            self.all_at_once(
                lambda own, _: [self.outcome(lambda: own.verification_checks.create(to=to, code=own_server.wrong(code)))]
            )
        )
        counted = outcomes["pending"] + outcomes["max_attempts_reached"]
        self.assertEqual(counted, 5, outcomes)
        self.assertEqual(outcomes[60202], CALLERS - 5, outcomes)
        self.assertEqual(self.outcome(lambda: self.own().verification_checks.create(to=to, code=code)), 60202)

    def test_five_messages_are_five_however_many_ask_for_one(self):
        to = own_server.number()
        sids = set()

        def send(own, _):
            def ask():
                made = own.verifications.create(to=to, channel="sms")
                sids.add(made.sid)
                return made

            return [self.outcome(ask)]

        outcomes = Counter(self.all_at_once(send))
        self.assertEqual(len(sids), 1)
        self.assertEqual(len(own_server.inbox(to)), outcomes["pending"])
        self.assertLessEqual(outcomes["pending"], 5, outcomes)
        self.assertEqual(sum(outcomes.values()), CALLERS)
        # 60410: of so many requests at once, some are above the 20 of a number and day.
        self.assertEqual(set(outcomes) - {"pending", 60203, 60212, 60410, 20429}, set(), outcomes)

    def test_a_bucket_lets_through_as_many_as_it_says(self):
        own = self.own()
        limit = own.rate_limits.create(unique_name="session")
        own.rate_limits(limit.sid).buckets.create(max=7, interval=3600)
        outcomes = Counter(
            self.all_at_once(
                lambda own, _: [
                    self.outcome(
                        lambda: own.verifications.create(
                            to=own_server.number(), channel="sms", rate_limits='{"session": "a"}'
                        )
                    )
                ]
            )
        )
        self.assertEqual(outcomes, {"pending": 7, 20429: CALLERS - 7})


if __name__ == "__main__":
    unittest.main()
