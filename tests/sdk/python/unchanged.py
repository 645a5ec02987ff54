"""A program written for Twilio, unchanged: the machine says where verify.twilio.com is, and which authority to trust.

Run as a file by `tests/it/sdk.rs`, which resolves the name to the server under test. ONCEWARD_INBOX is where that server
shows the messages that it would have sent.
"""

import json
import os
import sys

import requests
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

# Without it the requests would go to Twilio.
if "ONCEWARD_INBOX" not in os.environ:
    print("unchanged.py: run it with cargo nextest run --test it sdk::, which sets ONCEWARD_INBOX", file=sys.stderr)
    sys.exit(64)

client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
verify = client.verify.v2


def code_for(to):
    answer = requests.get(os.environ["ONCEWARD_INBOX"], params={"to": to}, timeout=10)
    return answer.json()["messages"][0]["code"]


def wrong(code):
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def refused(code, status, ask):
    try:
        ask()
    except TwilioRestException as error:
        assert (error.code, error.status) == (code, status), error
    else:
        raise AssertionError(f"expected {code}")


service = verify.services.create(friendly_name="Owl Bank")
assert service.url == f"https://verify.twilio.com/v2/Services/{service.sid}", service.url
own = verify.services(service.sid)

to = "+14155550171"
begun = own.verifications.create(to=to, channel="sms")
assert (begun.status, begun.to, begun.valid) == ("pending", to, False), begun
code = code_for(to)
assert own.verification_checks.create(to=to, code=wrong(code)).status == "pending"
approved = own.verification_checks.create(to=to, code=code)
assert (approved.sid, approved.status, approved.valid) == (begun.sid, "approved", True), approved
refused(20404, 404, lambda: own.verification_checks.create(to=to, code=code))

other = own.verifications.create(to="+14155550172", channel="sms")
assert own.verifications(other.sid).fetch().status == "pending"
assert own.verifications(other.sid).update(status="canceled").status == "canceled"

limit = own.rate_limits.create(unique_name="end_user_ip", description="The address of the device")
own.rate_limits("end_user_ip").buckets.create(max=1, interval=60)
values = json.dumps({"end_user_ip": "192.0.2.1"})
own.verifications.create(to="+14155550173", channel="sms", rate_limits=values)
refused(20429, 429, lambda: own.verifications.create(to="+14155550174", channel="sms", rate_limits=values))
assert limit.delete()

webhook = own.webhooks.create(
    friendly_name="shop", event_types=["verification.approved"], webhook_url="https://shop.example/hooks"
)
assert own.webhooks(webhook.sid).update(status="disabled").status == "disabled"
assert [listed.sid for listed in own.webhooks.list(page_size=1)] == [webhook.sid]
assert webhook.delete()

refused(60223, 400, lambda: own.verifications.create(to="+14155550175", channel="call"))
# Addresses of further pages are Twilio's, too.
verify.services.create(friendly_name="Barn Owls")
assert service.sid in [listed.sid for listed in verify.services.stream(page_size=1)]
assert own.delete()
print("done")
