"""Error text: what went wrong, in words that the store and the broker can hold."""

MAX_CHARACTERS = 300


def error_text(error: BaseException) -> str:
    """The kind of an error and what it says, cut short.

    An error may quote what came over the wire: bytes that are no text have become lone surrogates in it, which cannot
    be stored.
    """
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
