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

    def test_an_idempotency_key_is_not_needed_for_the_package(self):
        """The package sends no key and does not repeat requests: two calls send two messages."""
        service, to = self.service(), own_server.number()
        service.verifications.create(to=to, channel="sms")
        service.verifications.create(to=to, channel="sms")
        self.assertEqual(len(inbox(to)), 2)


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
        with self.refused(20404, 404, "VerificationCheck"):
            self.check(self.code)

    def test_its_id_names_it_too(self):
        self.assertEqual(self.check(wrong(self.code), verification_sid=self.made.sid).status, "pending")
        self.assertEqual(self.check(self.code, verification_sid=self.made.sid).status, "approved")
        with self.refused(20404, 404):
            self.check(self.code, verification_sid=self.made.sid)

    def test_an_approved_one_is_gone(self):
        """As at Twilio, the verification is gone after the answer to the check."""
        self.check(self.code)
        for target in (self.made.sid, self.to):
            with self.refused(20404, 404):
                self.own.verifications(target).fetch()

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

    def test_after_five_wrong_codes_the_right_one_is_refused_too(self):
        for _ in range(4):
            self.assertEqual(self.check(wrong(self.code)).status, "pending")
        self.assertIn(self.check(wrong(self.code)).status, ("pending", "max_attempts_reached"))
        with self.refused(60202, 429, "Max check attempts reached"):
            self.check(self.code)

    def test_after_five_wrong_codes_for_its_id_the_right_one_is_refused_too(self):
        mine = {"verification_sid": self.made.sid}
        for _ in range(4):
            self.assertEqual(self.check(wrong(self.code), **mine).status, "pending")
        self.assertIn(self.check(wrong(self.code), **mine).status, ("pending", "max_attempts_reached"))
        with self.refused(60202, 429, "Max check attempts reached"):
            self.check(self.code, **mine)

    def test_checks_by_number_and_by_id_share_their_five_codes(self):
        for _ in range(5):
            self.check(wrong(self.code))
        with self.refused(60202, 429):
            self.check(self.code, verification_sid=self.made.sid)
        self.assertEqual(self.own.verifications(self.made.sid).fetch().status, "max_attempts_reached")

    def test_what_is_no_code_is_a_wrong_one_and_what_has_no_length_is_refused(self):
        self.assertEqual(self.check("abcdef").status, "pending")
        with self.refused(60200, 400, "Code"):
            self.check("123")
        with self.refused(60200, 400, "Code"):
            self.check("12345678901")
        self.assertEqual(self.check(self.code).status, "approved")

    def test_a_number_that_nobody_verifies_has_none(self):
        with self.refused(20404, 404):
            self.check("123456", to=own_server.number())
        with self.refused(20404, 404):
            self.own.verifications(own_server.number()).fetch()


class Wording(Case):
    """The text of the message."""

    def text(self, service, channel="sms", **wishes):
        to = wishes.pop("to", None) or own_server.number()
        service.verifications.create(to=to, channel=channel, **wishes)
        newest = inbox(to)[0]
        return newest["text"], newest["code"]

    def test_the_service_is_named_or_another_name_for_this_once(self):
        service = self.service(friendly_name="Owl Bank")
        text, code = self.text(service)
        self.assertEqual(text, f"Your Owl Bank verification code is: {code}")
        text, code = self.text(service, custom_friendly_name="Barn Owls")
        self.assertEqual(text, f"Your Barn Owls verification code is: {code}")

    def test_the_hash_of_an_app_stands_at_the_end(self):
        text, code = self.text(self.service(), app_hash="FA+9qCX9VSu")
        self.assertTrue(text.endswith("\nFA+9qCX9VSu") or text.endswith(" FA+9qCX9VSu"), text)
        self.assertIn(code, text)

    def test_a_warning_is_added_where_the_service_wants_it(self):
        text, _ = self.text(self.service(do_not_share_warning_enabled=True))
        self.assertIn("Do not share it", text)

    def test_a_template_speaks_the_language_asked_for_with_its_places_filled(self):
        template = next(t for t in self.verify.templates.list() if t.friendly_name == "login")
        service = self.service(friendly_name="Owl Bank")
        wishes = {"template_sid": template.sid, "template_custom_substitutions": '{"door": "A 7"}'}
        text, code = self.text(service, **wishes)
        self.assertEqual(text, f"{code} opens A 7 of Owl Bank")
        text, code = self.text(service, locale="de", **wishes)
        self.assertEqual(text, f"{code} öffnet A 7 von Owl Bank")
        with self.refused(60224, 400, "door"):
            self.text(service, template_sid=template.sid)

    def test_a_default_template_is_used_where_none_is_named(self):
        template = next(t for t in self.verify.templates.list() if t.friendly_name == "With its time")
        text, code = self.text(self.service(friendly_name="Owl Bank", default_template_sid=template.sid))
        self.assertEqual(text, f"{code} is your Owl Bank code. It works once, within 10 minutes.")

    def test_codes_are_as_long_as_the_service_says(self):
        for length in (4, 10):
            _, code = self.text(self.service(code_length=length))
            self.assertRegex(code, re.compile(rf"^\d{{{length}}}$"))

    def test_a_call_reads_the_code_digit_by_digit(self):
        text, code = self.text(self.service(), channel="call", send_digits="1w2")
        self.assertIn(". ".join(code), text)

    def test_what_is_only_for_the_records_is_taken(self):
        self.text(self.service(), tags='{"campaign": "autumn"}', device_ip="192.0.2.7", risk_check="disable")


class CustomCodes(Case):
    def test_the_caller_brings_the_code_where_the_service_allows_it(self):
        service, to = self.service(custom_code_enabled=True), own_server.number()
        service.verifications.create(to=to, channel="sms", custom_code="90210417")
        self.assertEqual(code_for(to), "90210417")
        self.assertEqual(service.verification_checks.create(to=to, code="90210418").status, "pending")
        self.assertEqual(service.verification_checks.create(to=to, code="90210417").status, "approved")

    def test_nowhere_else(self):
        with self.refused(60204, 403, "CustomCode"):
            self.service().verifications.create(to=own_server.number(), channel="sms", custom_code="90210417")

    def test_it_has_four_to_ten_letters_or_digits(self):
        service, to = self.service(custom_code_enabled=True), own_server.number()
        service.verifications.create(to=to, channel="sms", custom_code="K7m2Pq")
        self.assertEqual(service.verification_checks.create(to=to, code="k7m2pq").status, "pending")
        self.assertEqual(service.verification_checks.create(to=to, code="K7m2Pq").status, "approved")
        for code in ("123", "12345678901", "12-456"):
            with self.subTest(code), self.refused(60200, 400, "CustomCode"):
                service.verifications.create(to=own_server.number(), channel="sms", custom_code=code)


class TestNumbers(Case):
    def test_a_test_number_is_sent_nothing_and_has_a_known_code(self):
        tried = next(service for service in self.verify.services.list() if service.friendly_name == "Tried")
        service, to = self.verify.services(tried.sid), "+15550100042"
        made = service.verifications.create(to=to, channel="sms")
        self.assertEqual(made.status, "pending")
        self.assertEqual(inbox(to), [])
        self.assertEqual(service.verification_checks.create(to=to, code="135790").status, "pending")
        self.assertEqual(service.verification_checks.create(to=to, code="246810").status, "approved")

    def test_it_has_the_limits_of_other_numbers(self):
        tried = next(service for service in self.verify.services.list() if service.friendly_name == "Tried")
        service, to = self.verify.services(tried.sid), "+15550100043"
        for _ in range(5):
            service.verifications.create(to=to, channel="sms")
        with self.refused(60203, 429):
            service.verifications.create(to=to, channel="sms")
        self.assertEqual(service.verification_checks.create(to=to, code="246810").status, "approved")


if __name__ == "__main__":
    unittest.main()
