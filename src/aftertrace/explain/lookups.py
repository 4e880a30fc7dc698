"""What a lookup gave that is not recorded, where what it looked into is: ``d.get(key)`` of a recorded dict."""

from __future__ import annotations

import ast

from aftertrace.explain import texts
from aftertrace.explain.likeness import ABSENT, part
from aftertrace.explain.scene import Point, Scene
from aftertrace.model import Value, ValueKind
from aftertrace.wire.equality import content


def worth(scene: Scene, point: Point, node: ast.expr) -> Value | None:
    """What an expression was worth; None where it does not follow from what was recorded."""
    found = scene.evaluate(point, node)
    if found is not None or not isinstance(node, ast.Call) or scene.callees(point, node):
        return found
    looked = texts.lookup(node)
    whole = scene.evaluate(point, looked.container) if looked is not None else None
    if looked is None or looked.key is None or whole is None or content(whole).kind is not ValueKind.MAPPING:
        return None
    key = scene.key(point, looked.key)
    inner = part(whole, (key,)) if key is not None else None
    return scene.evaluate(point, looked.default) if inner is ABSENT else inner
