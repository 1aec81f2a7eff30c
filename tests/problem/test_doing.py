"""An error says first what was being done, and stays what it was."""

import pytest

from slt.errors import DataError
from slt.problem.doing import doing


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, ValueError, IndexError, AttributeError])
def test_the_message_opens_with_what_was_being_done(kind: type[Exception]):
    with pytest.raises(kind, match=r"^while reading row 3: it is gone$") as caught, doing("reading row 3"):
        raise kind("it is gone")
    assert type(caught.value) is kind


class Own(Exception):
    """Of the user's code, with more than a message."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.mark.parametrize("error", [Own(7), OSError(28, "No space left on device"), KeyError("x"), RuntimeError()])
def test_what_has_other_arguments_keeps_them(error: Exception):
    before = error.args
    with pytest.raises(type(error)) as caught, doing(lambda: "reading row 3"):
        raise error
    assert caught.value is error
    assert error.args == before
    assert error.__notes__ == ["It was raised while reading row 3."]


def test_errors_of_slt_speak_for_themselves():
    with pytest.raises(DataError, match=r"^must be finite$"), doing("reading row 3"):
        raise DataError("must be finite")
    with doing(lambda: pytest.fail("there was no error")):
        pass
