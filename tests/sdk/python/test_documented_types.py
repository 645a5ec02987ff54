"""Every field of every answer has the type that the package's own source documents for it."""

import ast
import inspect
import json
import re
import textwrap
import unittest
from datetime import datetime

import own_server
from case import Case

PLAIN = {"str": str, "bool": bool, "int": int, "float": float, "datetime": datetime}


def documented(kind):
    """The attributes of one of the package's classes, with the types in its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and not node.target.attr.startswith("_"):
            found[node.target.attr] = ast.unparse(node.annotation)
    return found


def fits(value, written):
    """Whether a value has a type as the source writes it. The package's own type names stand for texts."""
    optional = re.fullmatch(r"Optional\[(.*)\]", written)
    if optional:
        return value is None or fits(value, optional.group(1))
    if written.startswith("List["):
        return isinstance(value, list) and all(fits(item, written[5:-1]) for item in value)
    if written.startswith("Dict["):
        return isinstance(value, dict)
    if written.startswith(("'", '"')) or "." in written:
        return isinstance(value, str)
    if written in ("object", "Any"):
        return True
    kind = PLAIN[written]
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


class DocumentedTypes(Case):
    def check(self, instance, may_be_none=()):
        types = documented(type(instance))
        self.assertGreater(len(types), 2, "the package's source is read")
        for name, written in types.items():
            value = getattr(instance, name)
            self.assertTrue(fits(value, written), f"{type(instance).__name__}.{name}: {value!r} is no {written}")
            if value is None:
                self.assertIn(name, may_be_none, f"{type(instance).__name__}.{name} is absent or null")

    def test_each_resource(self):
        made = self.verify.services.create(friendly_name="Owl Bank")
        self.addCleanup(made.delete)
        own = self.verify.services(made.sid)
        self.check(made, may_be_none=("tts_name", "default_template_sid"))
        to = own_server.number()
        verification = own.verifications.create(to=to, channel="sms")
        self.check(verification, may_be_none=("amount", "payee", "sna"))
        checked = own.verification_checks.create(to=to, code=own_server.code_for(to))
        self.check(checked, may_be_none=("amount", "payee", "sna_attempts_error_codes"))
        limit = own.rate_limits.create(unique_name="session", description="one a session")
        self.check(limit)
        self.check(own.rate_limits(limit.sid).buckets.create(max=5, interval=60))
        self.check(own.webhooks.create(friendly_name="events", event_types=["*"], webhook_url="https://hooks.example.com/"))
        self.check(self.verify.templates.list()[0])
        self.check(self.verify.verification_attempts.list(limit=1)[0])
        self.check(self.verify.verification_attempts_summary().fetch())
        safe = self.verify.safelist.create(phone_number=own_server.number())
        self.check(safe)

    def test_a_documented_type_can_be_missed(self):
        self.assertFalse(fits("5", "Optional[int]"))
        self.assertFalse(fits(True, "Optional[int]"))
        self.assertFalse(fits("2026-01-01", "Optional[datetime]"))
        self.assertFalse(fits([1], "Optional[List[str]]"))
        self.assertTrue(fits(json.loads('{"a": 1}'), "Optional[Dict[str, object]]"))


if __name__ == "__main__":
    unittest.main()
