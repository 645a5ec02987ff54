"""Verifications: begin, send again, check, end."""

import re
import unittest

import own_server
from case import Case
from own_server import code_for, inbox, wrong


class Sending(Case):
    def test_a_code_goes_out_by_every_channel(self):
        service = self.service()
        for channel, spelled, arrives in (
            ("sms", "SMS", "sms"),
            ("call", "CALL", "call"),
            ("whatsapp", "whatsapp", "whatsapp"),
        ):
            with self.subTest(channel):
                to = own_server.number()
                made = service.verifications.create(to=to, channel=channel)
                self.assert_sid("VE", made.sid)
                self.assertEqual((made.to, made.channel, made.status, made.valid), (to, channel, "pending", False))
                self.assertEqual(len(made.send_code_attempts), 1)
                self.assertEqual(made.send_code_attempts[0]["channel"], spelled)
                self.assert_sid("VL", made.send_code_attempts[0]["attempt_sid"])
                self.assert_recent(made.date_created)
                self.assertEqual([message["channel"] for message in inbox(to)], [arrives])
                self.assertRegex(code_for(to), r"^\d{6}$")

    def test_auto_begins_with_a_text_message(self):
        to = own_server.number()
        made = self.service().verifications.create(to=to, channel="auto")
        self.assertEqual(made.channel, "sms")
        self.assertEqual(inbox(to)[0]["channel"], "sms")

    def test_a_resend_keeps_id_and_code(self):
        service, to = self.service(), own_server.number()
        first = service.verifications.create(to=to, channel="sms")
        again = service.verifications.create(to=to, channel="call")
        self.assertEqual(again.sid, first.sid)
        self.assertEqual([attempt["channel"] for attempt in again.send_code_attempts], ["SMS", "CALL"])
        self.assertEqual(len({message["code"] for message in inbox(to)}), 1)
        self.assertEqual(len(inbox(to)), 2)
        self.assertEqual(again.date_created, first.date_created)

    def test_the_same_number_has_a_verification_in_each_service(self):
        one, two, to = self.service(), self.service(), own_server.number()
        first = one.verifications.create(to=to, channel="sms")
        code = code_for(to)
        second = two.verifications.create(to=to, channel="sms")
        self.assertNotEqual(first.sid, second.sid)
        self.assertEqual(one.verification_checks.create(to=to, code=code).status, "approved")
        self.assertEqual(two.verifications(second.sid).fetch().status, "pending")
        with self.refused(20404, 404):
            one.verifications(second.sid).fetch()

    def test_a_sixth_message_is_refused(self):
        service, to = self.service(), own_server.number()
        for _ in range(5):
            made = service.verifications.create(to=to, channel="sms")
        self.assertEqual(len(made.send_code_attempts), 5)
        with self.refused(60203, 429, "Max send attempts reached"):
            service.verifications.create(to=to, channel="sms")
        self.assertEqual(len(inbox(to)), 5)
        approved = service.verification_checks.create(to=to, code=code_for(to))
        self.assertEqual(approved.status, "approved")
        self.assertNotEqual(service.verifications.create(to=to, channel="sms").sid, made.sid)


class Checking(Case):
    def setUp(self):
        self.own = self.service()
        self.to = own_server.number()
        self.made = self.own.verifications.create(to=self.to, channel="sms")
        self.code = code_for(self.to)

    def check(self, code, **target):
        return self.own.verification_checks.create(code=code, **(target or {"to": self.to}))

    def test_a_wrong_code_leaves_it_pending_and_the_right_one_approves_it_once(self):
        result = self.check(wrong(self.code))
        self.assertEqual((result.sid, result.status, result.valid), (self.made.sid, "pending", False))
        result = self.check(self.code)
        self.assertEqual((result.sid, result.status, result.valid, result.to), (self.made.sid, "approved", True, self.to))
        self.assert_recent(result.date_updated)
        with self.refused(20404, 404, "was not found"):
            self.check(self.code)
        with self.refused(20404, 404):
            self.own.verifications(self.made.sid).fetch()

    def test_its_id_names_it_too(self):
        self.assertEqual(self.check(wrong(self.code), verification_sid=self.made.sid).status, "pending")
        self.assertEqual(self.check(self.code, verification_sid=self.made.sid).status, "approved")
        with self.refused(20404, 404):
            self.check(self.code, verification_sid=self.made.sid)

    def test_it_is_found_by_id_and_by_number(self):
        by_sid = self.own.verifications(self.made.sid).fetch()
        by_number = self.own.verifications(self.to).fetch()
        for found in (by_sid, by_number):
            self.assertEqual((found.sid, found.to, found.status), (self.made.sid, self.to, "pending"))
            self.assertEqual(found.send_code_attempts, self.made.send_code_attempts)
            self.assertEqual(found.date_created, self.made.date_created)

    def test_it_can_be_canceled(self):
        ended = self.own.verifications(self.made.sid).update(status="canceled")
        self.assertEqual((ended.sid, ended.status, ended.valid), (self.made.sid, "canceled", False))
        self.assertEqual(self.own.verifications(self.made.sid).fetch().status, "canceled")
        with self.refused(20404, 404):
            self.check(self.code)
        with self.refused(20404, 404):
            self.own.verifications(self.made.sid).update(status="approved")

    def test_it_can_be_approved_without_a_code(self):
        ended = self.own.verifications(self.to).update(status="approved")
        self.assertEqual((ended.status, ended.valid), ("approved", True))
        with self.refused(20404, 404):
            self.check(self.code)

    def test_checks_by_number_and_by_id_share_their_five_codes(self):
        for _ in range(5):
            self.check(wrong(self.code))
        with self.refused(60202, 429):
            self.check(self.code, verification_sid=self.made.sid)
        self.assertEqual(self.own.verifications(self.made.sid).fetch().status, "max_attempts_reached")

    def test_a_number_that_nobody_verifies_has_none(self):
        with self.refused(20404, 404):
            self.check("123456", to=own_server.number())
        with self.refused(20404, 404):
            self.own.verifications(own_server.number()).fetch()


class Wording(Case):
    """The message, by what the request and the service ask for."""

    def newest(self, service, **wishes):
        to = own_server.number()
        service.verifications.create(to=to, channel="sms", **wishes)
        return to, inbox(to)[0]

    def test_the_message_says_what_the_request_asks_for(self):
        template = next(t for t in self.verify.templates.list() if t.friendly_name == "login")
        service = self.service(custom_code_enabled=True)
        to, message = self.newest(
            service,
            app_hash="FA+9qCX9VSu",
            custom_code="K7m2Pq",
            custom_friendly_name="Barn Owls",
            device_ip="192.0.2.7",
            locale="de",
            risk_check="disable",
            tags='{"campaign": "autumn"}',
            template_custom_substitutions='{"door": "A 7"}',
            template_sid=template.sid,
        )
        self.assertEqual(message["text"], "K7m2Pq öffnet A 7 von Barn Owls\nFA+9qCX9VSu")
        self.assertEqual(service.verification_checks.create(to=to, code="k7m2pq").status, "pending")
        self.assertEqual(service.verification_checks.create(to=to, code="K7m2Pq").status, "approved")

    def test_a_default_template_is_used_where_none_is_named(self):
        template = next(t for t in self.verify.templates.list() if t.friendly_name == "With its time")
        _, message = self.newest(self.service(friendly_name="Owl Bank", default_template_sid=template.sid))
        text = f"{message['code']} is your Owl Bank code. It works once, within 10 minutes."
        self.assertEqual(message["text"], text)

    def test_codes_are_as_long_as_the_service_says(self):
        for length in (4, 10):
            _, message = self.newest(self.service(code_length=length))
            self.assertRegex(message["code"], re.compile(rf"^\d{{{length}}}$"))


if __name__ == "__main__":
    unittest.main()
