"""A bare word after a verb that may be left out: `inv bench`, `inv bench deploy`. Invoke's own positional arguments may not."""

from __future__ import annotations

from typing import Any

from invoke import Argument, Task

PARAMETER = "what"


class WordTask(Task[Any]):
    """A task whose parameter `what` is given as one of its `words`, {word: help}, which are set after it is made."""

    words: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return what the parser takes: each word is a flag without dashes."""
        found = [a for a in super().get_arguments(ignore_unknown_help) if a.name != PARAMETER]
        return [*found, *(Argument(name=_Bare(word), kind=bool, help=text) for word, text in self.words.items())]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the task with the word that was given."""
        given = [word for word in self.words if options.pop(word, False)]
        return super().__call__(*args, **options, **({PARAMETER: given[-1]} if given else {}))


class _Bare(str):
    """An argument's name that stays as it is where Invoke makes it a flag: `"--" + name.lstrip("_")…`."""

    __slots__ = ()

    def __radd__(self, before: str) -> str:
        return str(self)

    def _same(self, *_: object) -> _Bare:
        return self

    lstrip = rstrip = replace = _same
