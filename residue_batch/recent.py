"""The last few values a process made, by key: photographs and scenes are too large to keep more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """At most ``size`` values, for threads beside each other; the least recently used one goes first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of this key, made if it is not here."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            # make room first: two photographs more than planned would not fit
            self._make_room()
        value = make()  # unlocked: two are made beside each other
        with self._lock:
            self._values.pop(key, None)
            self._make_room()
            self._values[key] = value
        return value

    def _make_room(self) -> None:
        while len(self._values) >= self.size:
            self._values.popitem(last=False)

    def take(self, key: Hashable) -> T | None:
        """The value of this key, which is then forgotten; None if it is not here."""
        return self._values.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
