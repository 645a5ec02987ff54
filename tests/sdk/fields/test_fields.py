"""Every answer of every operation has exactly the fields that Twilio describes, each of the described type.

`from_openapi.py` makes `described.json`, which has the described fields.
"""

import json
import pathlib
import re
import unittest

import own_server

DESCRIBED = json.loads(pathlib.Path(__file__).with_name("described.json").read_text(encoding="utf-8"))

# Fields of ours in answers of Twilio's. There is no console to look up the secret of a webhook.
ADDED = {"POST /v2/Services/{ServiceSid}/Webhooks": {"secret"}}

# The same inside an object that Twilio describes without its members.
ADDED_BELOW = {"channel_data": {"parts"}}

# What may be null here. Twilio's description lets nearly everything be null.
MAY_BE_NULL = {
    "tts_name", "default_template_sid", "amount", "payee", "sna", "sna_attempts_error_codes", "next_page_url", "previous_page_url",
}

# Objects that may lack some of Twilio's fields: the server asks no lookup provider.
MAY_BE_EMPTY = {"lookup", "sna"}

PYTHON = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "uri": re.compile(r"https?://[!-~]+"),
}


def inside(value):
    """The names in an object, or in each object of a list; names with a dot are in nested objects."""
    if isinstance(value, list):
        return set().union(*(inside(item) for item in value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*({f"{name}.{below}" for below in inside(part)} for name, part in value.items()))


def problems_of_value(name, value, described):
    """The problems of a field's value."""
    if value is None:
        if name not in MAY_BE_NULL or not described.get("nullable"):
            yield f"{name} is null"
        return
    kind = PYTHON.get(described.get("type"))
    if kind and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        yield f"{name} is {value!r}, and must be {described['type']}"
        return
    if "pattern" in described and not re.search(described["pattern"], value):
        yield f"{name} is {value!r}, and must match {described['pattern']}"
    shape = FORMATS.get(described.get("format"))
    if shape and not shape.fullmatch(value):
        yield f"{name} is {value!r}, and must be {described['format']}"
    if "enum" in described and value not in described["enum"]:
        yield f"{name} is {value!r}, and must be one of {described['enum']}"
    for item in value if described.get("items") else []:
        yield from problems_of_value(f"{name}[]", item, described["items"])
    yield from problems_of_object(name, value, described.get("names"))


def problems_of_object(name, value, wanted):
    """The problems of an object's members."""
    if not wanted:
        return
    if name == "translations":
        # Keyed by language: the template determines which.
        wanted = {below.partition(".")[2] for below in wanted} - {""}
        found = [inside(translation) for translation in value.values()]
    else:
        wanted, found = set(wanted) | ADDED_BELOW.get(name, set()), [inside(value)]
    for names in found:
        if names - wanted:
            yield f"{name} has more than it should: {sorted(names - wanted)}"
        if wanted - names and name not in MAY_BE_EMPTY:
            yield f"{name} lacks {sorted(wanted - names)}"


def problems(resource, answer, added=frozenset()):
    """The problems of an object of this kind."""
    fields = DESCRIBED["resources"][resource]
    if set(fields) - set(answer):
        yield f"{resource} lacks {sorted(set(fields) - set(answer))}"
    if set(answer) - set(fields) != added:
        yield f"{resource} has more than it should: {sorted(set(answer) - set(fields))}"
    for name in fields.keys() & answer.keys():
        for problem in problems_of_value(name, answer[name], fields[name]):
            yield f"{resource}.{problem}"


class Fields(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.seen = set()
        self.found = []

    def ask(self, operation, form=None, **parts):
        """Executes an operation and compares its answer with the description."""
        method, template = operation.split(" ")
        path, _, query = template.partition("?")
        described = DESCRIBED["operations"][f"{method} {path}"]
        self.seen.add(f"{method} {path}")
        where = path.format(**parts) + (f"?{query}" if query else "")
        status, headers, answer = own_server.answer(method, where, form)
        self.assertIn(status, described["statuses"], f"{operation}: {answer}")
        wrong = []
        if "answer" in described:
            wrong = problems(described["answer"], answer, ADDED.get(f"{method} {path}", frozenset()))
        elif "list" in described:
            self.assertEqual(set(answer), {described["list"], "meta"}, operation)
            self.assertEqual(answer["meta"]["key"], described["list"])
            self.assertTrue(answer[described["list"]], f"{operation}: something is listed")
            wrong = [p for thing in answer[described["list"]] for p in problems(described["of"], thing)]
            wrong += problems("meta", answer["meta"])
        else:
            self.assertIsNone(answer, operation)
        if answer is not None:
            self.assertEqual(headers["Content-Type"].split(";")[0], "application/json")
        self.found += [f"{operation}: {problem}" for problem in wrong]
        return answer

    def test_every_operation(self):
        service = self.ask("POST /v2/Services", {"FriendlyName": "Owl Bank", "CustomCodeEnabled": "true"})["sid"]
        self.ask("GET /v2/Services")
        self.ask("GET /v2/Services?PageSize=1")
        self.ask("GET /v2/Services/{Sid}", Sid=service)
        self.ask("POST /v2/Services/{Sid}", {"TtsName": "Owl", "CodeLength": "7"}, Sid=service)
        self.verifications(service)
        self.limits(service)
        self.belongings(service)
        self.ask("DELETE /v2/Services/{Sid}", Sid=service)
        self.assertEqual(self.found, [])
        self.assertEqual(set(DESCRIBED["operations"]) - self.seen, set(), "every operation was tried")

    def verifications(self, service):
        below = "/v2/Services/{ServiceSid}"
        one, other, third = own_server.number(), own_server.number(), own_server.number()
        for channel in ("sms", "call", "whatsapp", "auto"):
            form = {"To": one, "Channel": channel, "Tags": '{"a": "b"}'}
            made = self.ask(f"POST {below}/Verifications", form, ServiceSid=service)
        attempt = made["send_code_attempts"][0]["attempt_sid"]
        for target in (made["sid"], one):
            self.ask(f"GET {below}/Verifications/{{Sid}}", ServiceSid=service, Sid=target)
        code = own_server.code_for(one)
        for submitted in (own_server.wrong(code), code):
            self.ask(f"POST {below}/VerificationCheck", {"To": one, "Code": submitted}, ServiceSid=service)
        for to, status in ((other, "canceled"), (third, "approved")):
            self.ask(f"POST {below}/Verifications", {"To": to, "Channel": "sms", "CustomCode": "135790"}, ServiceSid=service)
            self.ask(f"POST {below}/Verifications/{{Sid}}", {"Status": status}, ServiceSid=service, Sid=to)
        self.ask("GET /v2/Attempts")
        self.ask("GET /v2/Attempts?PageSize=2&Page=1")
        self.ask("GET /v2/Attempts/{Sid}", Sid=attempt)
        self.ask("GET /v2/Attempts/Summary")
        self.ask(f"GET /v2/Attempts/Summary?VerifyServiceSid={service}&Channel=call")

    def limits(self, service):
        below = "/v2/Services/{ServiceSid}/RateLimits"
        form = {"UniqueName": "session", "Description": "one a session"}
        limit = self.ask(f"POST {below}", form, ServiceSid=service)["sid"]
        self.ask(f"GET {below}", ServiceSid=service)
        self.ask(f"GET {below}/{{Sid}}", ServiceSid=service, Sid=limit)
        self.ask(f"POST {below}/{{Sid}}", {"Description": "a few"}, ServiceSid=service, Sid=limit)
        of = {"ServiceSid": service, "RateLimitSid": limit}
        bucket = self.ask(f"POST {below}/{{RateLimitSid}}/Buckets", {"Max": "5", "Interval": "60"}, **of)["sid"]
        self.ask(f"GET {below}/{{RateLimitSid}}/Buckets", **of)
        self.ask(f"GET {below}/{{RateLimitSid}}/Buckets/{{Sid}}", **of, Sid=bucket)
        self.ask(f"POST {below}/{{RateLimitSid}}/Buckets/{{Sid}}", {"Max": "6"}, **of, Sid=bucket)
        self.ask(f"DELETE {below}/{{RateLimitSid}}/Buckets/{{Sid}}", **of, Sid=bucket)
        self.ask(f"DELETE {below}/{{Sid}}", ServiceSid=service, Sid=limit)

    def belongings(self, service):
        of = {"ServiceSid": service}
        below = "/v2/Services/{ServiceSid}/MessagingConfigurations"
        # The refusal names the configured gateways, and a client learns their ids from it.
        path = below.format(**of)
        _, _, refused = own_server.answer("POST", path, {"Country": "DE", "MessagingServiceSid": "MG" + "0" * 32})
        gateway = re.search(r"(MG[0-9a-f]{32}) \(Simulator\)", refused["message"]).group(1)
        self.ask(f"POST {below}", {"Country": "DE", "MessagingServiceSid": gateway}, **of)
        self.ask(f"GET {below}", **of)
        self.ask(f"GET {below}/{{Country}}", **of, Country="DE")
        self.ask(f"POST {below}/{{Country}}", {"MessagingServiceSid": gateway}, **of, Country="DE")
        self.ask(f"DELETE {below}/{{Country}}", **of, Country="DE")
        below = "/v2/Services/{ServiceSid}/Webhooks"
        form = {"FriendlyName": "events", "EventTypes": "*", "WebhookUrl": "https://hooks.example.com/verify"}
        webhook = self.ask(f"POST {below}", form, **of)["sid"]
        self.ask(f"GET {below}", **of)
        self.ask(f"GET {below}/{{Sid}}", **of, Sid=webhook)
        self.ask(f"POST {below}/{{Sid}}", {"Status": "disabled"}, **of, Sid=webhook)
        self.ask(f"DELETE {below}/{{Sid}}", **of, Sid=webhook)
        self.ask("GET /v2/Templates")
        number = own_server.number()
        self.ask("POST /v2/SafeList/Numbers", {"PhoneNumber": number})
        self.ask("GET /v2/SafeList/Numbers/{PhoneNumber}", PhoneNumber=number)
        self.ask("DELETE /v2/SafeList/Numbers/{PhoneNumber}", PhoneNumber=number)


class Comparison(unittest.TestCase):
    """Proves that the comparison can fail."""

    SUMMARY = {
        "total_attempts": 3,
        "total_converted": 1,
        "total_unconverted": 2,
        "conversion_rate_percentage": "33.3",
        "url": "https://example.com/v2/Attempts/Summary",
    }
    NAME = "verify.v2.verification_attempts_summary"

    def test_what_is_as_described_has_no_problems(self):
        self.assertEqual(list(problems(self.NAME, self.SUMMARY)), [])

    def test_a_missing_an_additional_and_a_mistyped_field_are_found(self):
        without = {name: value for name, value in self.SUMMARY.items() if name != "url"}
        for answer, problem in (
            (without, "lacks"),
            (self.SUMMARY | {"more": 1}, "more than it should"),
            (self.SUMMARY | {"total_attempts": "3"}, "must be integer"),
            (self.SUMMARY | {"total_attempts": True}, "must be integer"),
            (self.SUMMARY | {"url": None}, "is null"),
            (self.SUMMARY | {"url": "no address"}, "must be uri"),
        ):
            found = list(problems(self.NAME, answer))
            self.assertEqual(len(found), 1, found)
            self.assertIn(problem, found[0])

    def test_a_wrong_id_a_wrong_word_and_a_wrong_object_are_found(self):
        for name, value, described in (
            ("sid", "VE1", {"pattern": "^VE[0-9a-fA-F]{32}$"}),
            ("status", "owl", {"enum": ["enabled", "disabled"]}),
            ("date_created", "2026-01-31", {"format": "date-time"}),
            ("event_types", [1], {"type": "array", "items": {"type": "string"}}),
            ("price", {"value": None}, {"names": ["currency", "value"]}),
            ("price", {"value": None, "currency": None, "tax": None}, {"names": ["currency", "value"]}),
        ):
            self.assertEqual(len(list(problems_of_value(name, value, described))), 1, name)


if __name__ == "__main__":
    unittest.main()
