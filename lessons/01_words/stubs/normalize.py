"""One spelling for one text: what looks the same to a reader must be the same to a tokenizer."""

INVISIBLE = "\xad\u200b\u200e\u200f\ufeff"
"""Given: soft hyphen, zero width space, two direction marks, byte order mark. They show nothing and mean nothing."""


def normalize(text: str) -> str:
    r"""The text with one kind of line end, without control characters, and in Unicode's form C.

    1. \r\n is one line end, and so is each \r, \v, \f, \x85, \u2028 and \u2029 by itself: all of them become \n.
    2. Control characters (unicodedata.category gives "Cc") go, except tab and \n. Those of INVISIBLE go too.
    3. A letter and its accent become one character where Unicode has that character (unicodedata.normalize, "NFC").

    Nothing else changes: capitals, accents, spaces and emoji stay as they are.
    """
    raise NotImplementedError
