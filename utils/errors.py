"""The one exception that the scripts turn into a line on stderr and exit status 2."""


class RequestError(Exception):
    """A request that cannot be met. Its message is one line: what is wrong, and what would be right."""
