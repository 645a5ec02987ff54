# Verifies a number with Twilio's library: docs/quickstart.md.

import os

from twilio.rest import Client

client = Client(os.environ["ONCEWARD_ACCOUNT_SID"], os.environ["ONCEWARD_AUTH_TOKEN"])
client.verify.base_url = "http://localhost:3000"

service = client.verify.v2.services(os.environ["SERVICE"])
verification = service.verifications.create(to="+14155552672", channel="sms")
code = input("Code, from http://localhost:3000/inbox: ")
check = service.verification_checks.create(verification_sid=verification.sid, code=code)
print(check.status)
