"""The official package with an HTTP client for another server, and the helpers of the tests.

The address and the credentials of the server under test come from the environment:
ONCEWARD_URL, ONCEWARD_ACCOUNT_SID, ONCEWARD_AUTH_TOKEN.
"""

import itertools
import json
import os
import re
import sys
import urllib.parse
import urllib.request

from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

if missing := [name for name in ("ONCEWARD_URL", "ONCEWARD_ACCOUNT_SID", "ONCEWARD_AUTH_TOKEN") if not os.environ.get(name)]:
    print(f"own_server.py: set {', '.join(missing)}: the address and the credentials of a running onceward", file=sys.stderr)
    sys.exit(64)
URL = os.environ["ONCEWARD_URL"].rstrip("/")
ACCOUNT_SID = os.environ["ONCEWARD_ACCOUNT_SID"]
AUTH_TOKEN = os.environ["ONCEWARD_AUTH_TOKEN"]


class OwnServer(TwilioHttpClient):
    """Sends Twilio Verify's and Lookup's requests to another address. A program needs no other change."""

    TWILIO = re.compile("^https://(verify|lookups)[.]twilio[.]com")

    def __init__(self, base_url, **options):
        super().__init__(**options)
        self.base_url = base_url

    def request(self, method, url, *args, **kwargs):
        # The addresses of further pages come from the server, and are its own already.
        url = self.TWILIO.sub(lambda _: self.base_url, url)
        return super().request(method, url, *args, **kwargs)


def client(account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN, **options):
    """A client of the server under test."""
    return Client(account_sid, auth_token, http_client=OwnServer(URL), **options)


_numbers = itertools.count(5_550_000)


def number():
    """A new number."""
    return f"+1415{next(_numbers)}"


def inbox(to):
    """The simulator's messages to a number, the newest first."""
    with urllib.request.urlopen(f"{URL}/inbox/messages?to={urllib.parse.quote(to)}") as answer:
        return json.load(answer)["messages"]


def code_for(to):
    """The code in the newest message to a number."""
    return inbox(to)[0]["code"]


def wrong(code):
    """A code that differs from this one in its last digit."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def answer(method, path, form=None):
    """Status, headers and parsed body of an answer, without the package."""
    data = urllib.parse.urlencode(form, doseq=True).encode() if form is not None else None
    request = urllib.request.Request(URL + path, data=data, method=method)
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, URL, ACCOUNT_SID, AUTH_TOKEN, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    try:
        with opener.open(request) as got:
            text = got.read()
            return got.status, got.headers, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())
