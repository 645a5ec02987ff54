#!/usr/bin/env python3
"""Lists the fields that Twilio describes for each resource that the server has.

    python3 tests/sdk/fields/from_openapi.py spec/json/twilio_verify_v2.json >tests/sdk/fields/described.json

The file is in the repository twilio/twilio-oai (MIT licence). The script takes names, types, formats, patterns
and the statuses of operations, but no texts. For objects without a described type it takes the names from the examples.
"""

import json
import sys

RELEASE = "twilio-oai 2.6.7 of 2026-04-14, spec/json/twilio_verify_v2.json"

# Resources that the server does not have.
LEFT_OUT = ("AccessTokens", "Entities", "Forms", "Passkeys")
METHODS = ("get", "post", "delete")
KEPT = ("type", "format", "pattern", "enum", "nullable")


class Description:
    def __init__(self, api):
        self.api = api
        self.resources = {}
        self.operations = {}
        for path, item in sorted(api["paths"].items()):
            if any(f"/{part}" in path for part in LEFT_OUT):
                continue
            for method in METHODS:
                if method in item:
                    self.operations[f"{method.upper()} {path}"] = self.operation(item[method])

    def operation(self, described):
        good = sorted(status for status in described["responses"] if status.startswith("2"))
        found = {"statuses": [int(status) for status in good]}
        content = described["responses"][good[0]].get("content", {}).get("application/json")
        if not content:
            return found
        examples = [example["value"] for example in content.get("examples", {}).values()]
        schema = content["schema"]
        if "$ref" in schema:
            return found | {"answer": self.resource(schema["$ref"], examples)}
        (key,) = [name for name in schema["properties"] if name != "meta"]
        things = [thing for example in examples for thing in example.get(key, [])]
        found |= {"list": key, "of": self.resource(schema["properties"][key]["items"]["$ref"], things)}
        self.resources["meta"] = {n: kept(f) for n, f in sorted(schema["properties"]["meta"]["properties"].items())}
        return found

    def resource(self, reference, examples):
        name = reference.rsplit("/", 1)[1]
        schema = self.api["components"]["schemas"][name]
        fields = self.resources.setdefault(name, {n: self.field(f) for n, f in schema["properties"].items()})
        for field, described in fields.items():
            if described.get("type", "object") == "object" or described.get("items") == {}:
                names = set(described.get("names", [])).union(*(inside(e.get(field)) for e in examples))
                described |= {"names": sorted(names)} if names else {}
        return name

    def field(self, schema):
        if "$ref" in schema:
            schema = self.api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        items = {"items": self.field(schema["items"])} if "items" in schema else {}
        return kept(schema) | items


def kept(schema):
    return {name: schema[name] for name in KEPT if name in schema}


def inside(value):
    """The names in an object, or in each object of a list; names with a dot are in nested objects."""
    if isinstance(value, list):
        return set().union(*(inside(item) for item in value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*({f"{name}.{below}" for below in inside(part)} for name, part in value.items()))


def lines(table):
    """An object with one line for each member."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in table.items()) + "\n}"


def main(path):
    with open(path, encoding="utf-8") as file:
        described = Description(json.load(file))
    resources = ",\n".join(f"{json.dumps(n)}: {lines(fields)}" for n, fields in described.resources.items())
    print(f'{{"made_from": {json.dumps(RELEASE)},')
    print(f'"operations": {lines(described.operations)},')
    print(f'"resources": {{\n{resources}\n}}}}')


if __name__ == "__main__":
    main(sys.argv[1])
