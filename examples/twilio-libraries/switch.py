# Moves from Twilio to onceward number by number: docs/guides/from-twilio-verify.md. `services` has Twilio's service and
# yours, and `is_chosen` is your rule for the numbers that go first (none to go back).


def begin(number):
    place = "own" if is_chosen(number) else "twilio"
    verification = services[place].verifications.create(to=number, channel="sms")
    session["verification"] = (place, verification.sid)


def check(code):
    place, sid = session["verification"]
    return services[place].verification_checks.create(verification_sid=sid, code=code).status == "approved"
