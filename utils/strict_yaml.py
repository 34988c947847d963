"""YAML as the settings are written in it: without the traps of YAML 1.1, and with errors of one line."""

import re

import yaml

# What YAML's reader raises for a text: its own errors, nesting without end, and for a value that is not what its tag says
# (a number or a date that is none, `!!int ''`) what its conversion happens to raise.
UNREADABLE = (yaml.YAMLError, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _StrictLoader(yaml.SafeLoader):
    """YAML without its traps: each is an error that names its line.

    A key given twice (the second would silently win), a key that is no text, merge keys (<<), and the numbers that only
    YAML 1.1 knows: 010 would be 8, and 1:30 would be 90.
    """

    def construct_mapping(self, node, deep=False):
        if not isinstance(node, yaml.MappingNode):
            raise _mistake(node, "a tag says it is a mapping")
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _mistake(key, "a key must be a name, not a list or a mapping")
            if key.tag == "tag:yaml.org,2002:merge":
                raise _mistake(key, "merge keys (<<) are not supported; write the keys out")
            if key.tag != "tag:yaml.org,2002:str":
                what = key.tag.rpartition(":")[2]
                raise _mistake(key, f"the key {key.value} is read as {what}, not as a name; quote it: '{key.value}'")
            if key.value in seen:
                raise _mistake(key, f"the key {key.value} is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node):
        """An int or a float, by its tag."""
        text = self.construct_scalar(node)
        kind = node.tag.rpartition(":")[2]
        number = self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)
        if ":" in text or re.fullmatch(r"[-+]?0[0-7_]+", text):
            raise _mistake(
                node,
                f"{text} would be read as {number}: write {number} if that is meant, else the number that is; if it is a text, "
                f"quote it: '{text}'",
            )
        return number


for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.construct_number)


def _mistake(node: yaml.Node, message: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def parse_yaml(text: str) -> object:
    """What a YAML text holds; raises one of UNREADABLE."""
    return yaml.load(text, Loader=_StrictLoader)


def why_unreadable(error: Exception) -> str:
    """An error of YAML's reader, without line breaks, the name that it gives to a text, and its arrows below a line."""
    if isinstance(error, RecursionError):
        return "it is nested without end"
    text = " ".join(word for word in str(error).split() if word != "^")
    return text.replace(' in "<unicode string>", line', ", line")
