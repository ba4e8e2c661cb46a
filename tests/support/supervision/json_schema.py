"""As much of a JSON Schema validator as the config's schema needs: the tests have no dependency for it."""

from __future__ import annotations

import re
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
    """Where and how `value` breaks `schema`; raises for a keyword that isn't known here."""
    found: list[str] = []
    for keyword, rule in schema.items():
        match keyword:
            case "$ref":
                found += violations(value, root["$defs"][rule.removeprefix("#/$defs/")], root, at)
            case "anyOf":
                tried = [violations(value, option, root, at) for option in rule]
                if all(tried):
                    found.append(f"{at}: none of {tried}")
            case "type":
                if not _has_type(value, rule):
                    found.append(f"{at}: no {rule}")
            case "enum":
                if value not in rule:
                    found.append(f"{at}: not in {rule}")
            case "pattern":
                if isinstance(value, str) and not re.search(rule, value):
                    found.append(f"{at}: not like {rule}")
            case "minLength":
                found += [f"{at}: too short"] if isinstance(value, str) and len(value) < rule else []
            case "maxLength":
                found += [f"{at}: too long"] if isinstance(value, str) and len(value) > rule else []
            case "minimum":
                found += [f"{at}: too small"] if _is_number(value) and value < rule else []
            case "exclusiveMinimum":
                found += [f"{at}: too small"] if _is_number(value) and value <= rule else []
            case "maximum":
                found += [f"{at}: too big"] if _is_number(value) and value > rule else []
            case "required":
                found += [f"{at}: no {name}" for name in rule if isinstance(value, dict) and name not in value]
            case "properties" if isinstance(value, dict):
                for name in value.keys() & rule.keys():
                    found += violations(value[name], rule[name], root, f"{at}.{name}")
            case "additionalProperties" if isinstance(value, dict):
                for name in value.keys() - schema.get("properties", {}).keys():
                    found += violations(value[name], rule, root, f"{at}.{name}") if rule else [f"{at}: unknown {name}"]
            case "items" if isinstance(value, list):
                for place, item in enumerate(value):
                    found += violations(item, rule, root, f"{at}[{place}]")
            case "properties" | "additionalProperties" | "items":
                pass
            case "$schema" | "$defs" | "title" | "description" | "default" | "examples":
                pass
            case _:
                raise NotImplementedError(keyword)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_type(value: Any, name: str) -> bool:
    if name == "number":
        return _is_number(value)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])
