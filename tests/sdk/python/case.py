"""The common part of all tests: a client, and expectations."""

import json
import re
import unittest
from contextlib import contextmanager
from datetime import datetime, timezone

from twilio.base.exceptions import TwilioException, TwilioRestException

import own_server


class Case(unittest.TestCase):
    """A test with a client of the server under test."""

    @classmethod
    def setUpClass(cls):
        cls.client = own_server.client()
        cls.verify = cls.client.verify.v2

    def service(self, **wishes):
        """Creates a service and returns the package's context for it, with its `sid`. The test's end deletes it."""
        made = self.verify.services.create(friendly_name=wishes.pop("friendly_name", "Owl Bank"), **wishes)
        context = self.verify.services(made.sid)
        context.sid = made.sid
        self.addCleanup(context.delete)
        return context

    @contextmanager
    def refused(self, code, status, words=""):
        """Expects the package's exception with Twilio's error code and an HTTP status."""
        with self.assertRaises(TwilioException) as caught:
            yield
        error = caught.exception
        if isinstance(error, TwilioRestException):
            found = (error.code, error.status, error.msg)
        else:
            # For a list, the package raises the plain exception with the answer in it.
            body = json.loads(error.args[1].text)
            found = (body["code"], error.args[1].status_code, body["message"])
        self.assertEqual(found[:2], (code, status), error)
        self.assertIn(words, found[2])

    def assert_sid(self, prefix, sid):
        """Expects an id of this kind."""
        self.assertRegex(sid, re.compile(f"^{prefix}[0-9a-f]{{32}}$"))

    def assert_recent(self, moment):
        """Expects a time within the last minutes, with its time zone."""
        self.assertIsInstance(moment, datetime)
        self.assertIsNotNone(moment.tzinfo)
        self.assertLess(abs((datetime.now(timezone.utc) - moment).total_seconds()), 600)
