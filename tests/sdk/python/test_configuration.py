"""Every configuration in the documents is valid by the schema that editors read."""

import json
import re
import unittest
from pathlib import Path

import jsonschema

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs/reference/config.schema.json").read_text())


def configurations():
    """The JSON blocks of all documents with a key among their members."""
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"^```json\n(.*?)^```", document.read_text(), re.M | re.S):
            parsed = json.loads(block)
            if isinstance(parsed, dict) and set(parsed) & set(SCHEMA["properties"]):
                yield document.name, parsed


class Configuration(unittest.TestCase):
    def test_every_configuration_in_the_documents_is_valid(self):
        validator = jsonschema.Draft202012Validator(SCHEMA)
        found = [*configurations(), *(("config.json", json.loads(file.read_text())) for file in (ROOT / "config.json", ROOT / "dist/config.json"))]
        self.assertGreater(len(found), 15)
        for document, configuration in found:
            wrong = [error.message for error in validator.iter_errors(configuration)]
            self.assertEqual(wrong, [], f"{document}: {configuration}")

    def test_a_wrong_value_is_not_valid(self):
        validator = jsonschema.Draft202012Validator(SCHEMA)
        for wrong in [{"otp-length": 99}, {"services": {"shop": {"guard": {"mode": "sometimes"}}}}]:
            self.assertFalse(validator.is_valid(wrong), wrong)


if __name__ == "__main__":
    unittest.main()
