"""Topics and who wants them: a radix tree of prefixes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Node(Generic[M]):
    """The end of one topic, or a place where topics part.

    :param label: what stands between its parent and it.
    :param parent: None for the root.
    :ivar children: by the first byte of their labels.
    :ivar members: who wants this topic, in the order in which they came.
    """

    __slots__ = ("children", "label", "members", "parent", "stamp", "union")

    def __init__(self, label: bytes, parent: Node[M] | None) -> None:
        self.label = label
        self.parent = parent
        self.children: dict[int, Node[M]] = {}
        self.members: dict[M, None] = {}
        # All that want a topic on the way to here, and which version of the tree that is true of.
        self.union: tuple[M, ...] = ()
        self.stamp = -1


class Topics(Generic[M]):
    """Sets of members by topic. A walk over it is a loop, since a topic may have thousands of prefixes."""

    def __init__(self) -> None:
        self._root: Node[M] = Node(b"", None)
        self._version = 0

    def __contains__(self, topic: bytes) -> bool:
        node, at = self._deepest(topic, 0, len(topic))
        return at == len(topic) and bool(node.members)

    @property
    def only_everything(self) -> bool:
        """Whether no topic but the empty one is wanted."""
        return not self._root.children

    def touch(self) -> None:
        """What a member is has changed: have `match` give another object."""
        self._version += 1

    def add(self, topic: bytes, member: M) -> Node[M]:
        """Have `member` want `topic`; where that is kept."""
        node, at = self._deepest(topic, 0, len(topic))
        if at < len(topic):
            node = self._grow(node, topic[at:])
        node.members[member] = None
        self._version += 1
        return node

    def remove(self, node: Node[M], member: M) -> None:
        """Have `member` want no more what is kept at `node`."""
        del node.members[member]
        self._version += 1
        while not node.members and node.parent is not None:
            parent = node.parent
            if len(node.children) > 1:
                return
            if node.children:
                (child,) = node.children.values()
                child.label = node.label + child.label
                child.parent = parent
                parent.children[child.label[0]] = child
                return
            del parent.children[node.label[0]]
            node = parent

    def match(self, data: bytes, start: int, end: int) -> tuple[M, ...]:
        """Who wants a message whose first part stands in `data` from `start` to `end`.

        The same object for the same members, as long as nothing changes.
        """
        node, _ = self._deepest(data, start, end)
        if node.stamp != self._version:
            self._refresh(node)
        return node.union

    def below(self, topic: bytes) -> Iterator[M]:
        """Who wants `topic`, or one that begins with it."""
        node, at = self._deepest(topic, 0, len(topic))
        if at < len(topic):
            child = node.children.get(topic[at])
            if child is None or not child.label.startswith(topic[at:]):
                return
            node = child
        waiting = [node]
        while waiting:
            node = waiting.pop()
            yield from node.members
            waiting += node.children.values()

    def sorted_below(self, topic: bytes, after: bytes | None) -> Iterator[M]:
        """The same in the order of what they want, and only those who want something behind `after` if it is given.

        It costs as much as what is taken of it.
        """
        node, at = self._deepest(topic, 0, len(topic))
        path = topic[:at]
        if at < len(topic):
            child = node.children.get(topic[at])
            if child is None or not child.label.startswith(topic[at:]):
                return
            node, path = child, path + child.label
        waiting = [(path, node)]
        while waiting:
            path, node = waiting.pop()
            if after is None or path > after:
                yield from node.members
            elif not after.startswith(path):
                # Neither is anything below it behind.
                continue
            below = ((path + child.label, child) for child in node.children.values())
            waiting += sorted(below, key=lambda one: one[0], reverse=True)

    def _deepest(self, data: bytes, at: int, end: int) -> tuple[Node[M], int]:
        """The last node on the way that `data` shows, and where in `data` that is."""
        node = self._root
        while node.children and at < end:
            child = node.children.get(data[at])
            if child is None or not data.startswith(child.label, at, end):
                break
            node = child
            at += len(child.label)
        return node, at

    def _grow(self, node: Node[M], rest: bytes) -> Node[M]:
        """A node for the `rest` of a topic below `node`, which is the last on its way."""
        child = node.children.get(rest[0])
        if child is not None:
            # The child keeps its identity: those that want it know it by that.
            common = _common(child.label, rest)
            middle = node.children[rest[0]] = Node(rest[:common], node)
            child.label, child.parent = child.label[common:], middle
            middle.children[child.label[0]] = child
            node, rest = middle, rest[common:]
        if rest:
            node.children[rest[0]] = Node(rest, node)
            node = node.children[rest[0]]
        return node

    def _refresh(self, node: Node[M]) -> None:
        path = [node]
        while node.parent is not None and node.parent.stamp != self._version:
            node = node.parent
            path.append(node)
        union = node.parent.union if node.parent is not None else ()
        seen = dict.fromkeys(union)
        for one in reversed(path):
            seen.update(one.members)
            if len(seen) > len(union):
                union = tuple(seen)
            one.union, one.stamp = union, self._version


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
