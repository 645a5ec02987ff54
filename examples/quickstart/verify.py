# Verifies a number with Twilio's library: docs/quickstart.md, whose step 2 sets the variables.

import os

from twilio.rest import Client

address = os.environ.get("API", "http://localhost:3000")
client = Client(os.environ["ONCEWARD_ACCOUNT_SID"], os.environ["ONCEWARD_AUTH_TOKEN"])
client.verify.base_url = address

service = client.verify.v2.services(os.environ["SERVICE"])
verification = service.verifications.create(to="+14155552672", channel="sms")
code = input(f"Code, from {address}/inbox: ")
check = service.verification_checks.create(verification_sid=verification.sid, code=code)
print(check.status)
