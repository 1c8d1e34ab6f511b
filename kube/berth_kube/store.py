"""`ObjectStore`: the objects of one kind as they were last seen. Filled by reflectors, read by everyone.

It lives in one event loop and is changed only between its awaits, so readers need no lock.
"""

from collections.abc import Iterator, Mapping

from berth_kube.resources import Key, Object, key_of, uid_of


class ObjectStore(Mapping[Key, Object]):
    """A mapping from key to object. Objects in it are shared: nobody changes them."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}

    def __getitem__(self, key: Key) -> Object:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, obj: Object) -> Object | None:
        """Keep an object; answers what stood at its key before."""
        key = key_of(obj)
        old = self._objects.get(key)
        self._objects[key] = obj
        return old

    def put_unless_older(self, obj: Object) -> bool:
        """Keep an object from a source without order, unless a newer version is known; says whether it was kept."""
        old = self._objects.get(key_of(obj))
        if old is not None and version_of(obj) < version_of(old):
            return False
        self.put(obj)
        return True

    def remove(self, key: Key, uid: str) -> Object | None:
        """Drop the object with this UID and answer it. Its successor under the same name stays."""
        old = self._objects.get(key)
        if old is None or uid_of(old) != uid:
            return None
        return self._objects.pop(key)


def version_of(obj: Object) -> int:
    """The resource version as a number: within one kind, a later write has a greater one."""
    return int(obj["metadata"]["resourceVersion"])
