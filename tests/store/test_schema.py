"""The store's objects are applied once, remembered, and never silently different."""

import pytest

from aftertrace import store as stores
from aftertrace.errors import StoreError
from aftertrace.store import schema

from .conftest import NOW, Maker


def test_every_sql_file_is_in_the_manifest():
    from importlib.resources import files

    folder = files("aftertrace.store") / "sql"
    assert {name for name, _ in schema.objects()} == {
        item.name for item in folder.iterdir() if item.name.endswith(".sql")
    }


def test_opening_again_applies_nothing_and_keeps_all(tmp_path):
    for round_number in range(3):
        store = stores.open(tmp_path / "s")
        try:
            assert schema.migrate(store._engine) == []
            store.add_spans([Maker("ab" * 16).span(str(round_number))])
            assert len(store.trace("ab" * 16).spans) == round_number + 1
        finally:
            store.close()


def test_a_store_cut_off_while_it_was_made_is_completed(tmp_path, monkeypatch):
    whole = schema.objects()
    with monkeypatch.context() as first:
        first.setattr(schema, "objects", lambda: whole[:2])
        stores.open(tmp_path / "s").close()
    store = stores.open(tmp_path / "s")
    try:
        store.add_logs([Maker("ab" * 16).keep()])
        assert len(store.kept(5)) == 1
    finally:
        store.close()


@pytest.mark.parametrize("change", ["newer", "altered"])
def test_a_store_of_another_release_is_refused(tmp_path, monkeypatch, change):
    whole = schema.objects()
    other = (
        [*whole, ("later.sql", "SELECT 1")] if change == "newer" else [(whole[0][0], whole[0][1] + "\n"), *whole[1:]]
    )
    with monkeypatch.context() as first:
        first.setattr(schema, "objects", lambda: other)
        stores.open(tmp_path / "s").close()
    with pytest.raises(StoreError) as caught:
        stores.open(tmp_path / "s")
    assert caught.value.slug == "store-other-release"
    with monkeypatch.context() as again:
        again.setattr(schema, "objects", lambda: other)
        stores.open(tmp_path / "s").close()  # the refusal let go of the directory


def test_a_store_that_knew_no_groups_is_brought_up_to_date(tmp_path, monkeypatch):
    whole = schema.objects()
    older = [one for one in whole if one[0] != "kept_groups.sql"]
    with monkeypatch.context() as before:
        before.setattr(schema, "objects", lambda: older)
        stores.open(tmp_path / "s").close()
        old = stores.open(tmp_path / "s")
        try:
            old._engine.command(  # as that release wrote it
                "INSERT INTO kept (trace_id, trigger, process_uid, time_ns, reason, service, attributes) VALUES"
                f" (unhex('{'ab' * 16}'), 'server-error', unhex('{'11' * 16}'), {NOW}, 'KeyError: 5', 'orders', '{{}}')"
            )
        finally:
            old.close()
    store = stores.open(tmp_path / "s")
    try:
        assert [(one.role, one.weight, one.group) for one in store.trace("ab" * 16).keeps] == [("failure", 1.0, "")]
        assert [one.trace_id for one in store.kept(5)] == ["ab" * 16]
        assert [(one.title, one.kept) for one in store.groups(NOW, NOW, 5)] == [("KeyError: 5", 1)]
    finally:
        store.close()
