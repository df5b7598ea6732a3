"""The functions that the command line's recorded questions call."""

from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore, Name, check, dag, field, function, object_type

UNKIND = "refuse"
ARM = dagger.Platform("linux/arm64")


@object_type
class Child:
    """What the main object makes, to show chains."""

    label: str = field()
    count: int = field(default=1)

    @function
    def times(self, n: int = 2) -> "Child":
        """The same child, counted n times more."""
        return Child(label=self.label, count=n * self.count)

    @function
    def tree(self) -> dagger.Directory:
        """A directory with a file named after the child."""
        return dag.directory().with_new_file(f"{self.label}.txt", f"{self.count}")


@object_type
class Probe:
    """Something to call."""

    greeting: str

    @classmethod
    async def create(cls, greeting: Annotated[str, Doc("Word to greet with")] = "hello") -> "Probe":
        """Make the main object, or fail when asked to."""
        if greeting == UNKIND:
            raise ValueError("greeting refused: say something kinder")
        return cls(greeting=greeting)

    @function
    def greet(self, name: str, *, loud: bool = False) -> str:
        """Greet somebody."""
        words = " ".join((self.greeting, name))
        return words.upper() if loud else words

    @function
    def add(self, numbers: list[int]) -> int:
        """Sum of numbers."""
        return sum(numbers)

    @function
    def words(self) -> list[str]:
        """Two words."""
        return ["one", "two"]

    @function
    def nothing(self) -> None:
        """Return nothing."""

    @function
    def child(self, label: str) -> Child:
        """Make a child object."""
        return Child(label=label)

    @function
    def children(self) -> list[Child]:
        """Two children."""
        return [Child(label=label, count=count) for count, label in enumerate("ab", 1)]

    @function
    async def names(self, source: Annotated[dagger.Directory, DefaultPath("/"), Ignore(["*", "!*.toml"])]) -> list[str]:
        """Entries of a directory argument that has a default path."""
        return await source.entries()

    @function
    async def read(self, file: dagger.File) -> str:
        """Contents of a file argument."""
        return await file.contents()

    @function
    async def secret_length(self, token: dagger.Secret) -> int:
        """Length of a secret argument."""
        return len(await token.plaintext())

    @function
    def renamed(self, from_: Annotated[str, Name("from")]) -> str:
        """An argument whose name is a keyword in Python."""
        return from_

    @function
    def optional(self, value: str | None = None) -> str:
        """An argument that may be left out."""
        return value if value is not None else "none"

    @function
    async def platform_of(self, platform: dagger.Platform = ARM) -> str:
        """Platform of an empty container."""
        return await dag.container(platform=platform).platform()

    @function
    def fail(self) -> str:
        """Raise an error."""
        raise ValueError("no such thing: choose a or b")

    @check
    @function
    def healthy(self) -> None:
        """A check that passes."""
