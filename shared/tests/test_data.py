"""The embedded data sets: what they hold, and that a changed one is never used."""

import hashlib
import importlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.data import Table, WrongFileError, embedded, load, load_text, path

NAMES = [*embedded.TABLES, *embedded.TEXTS]
README = (embedded.FOLDER / "README.md").read_text(encoding="utf-8")


def sklearn_copy(name: str) -> Any:
    datasets = importlib.import_module("sklearn.datasets")  # here, since it is slow to import
    loaders: dict[str, Callable[[], Any]] = {
        "iris": datasets.load_iris,
        "diabetes": lambda: datasets.load_diabetes(scaled=False),
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
        "digits": datasets.load_digits,
    }
    return loaders[name]()


@pytest.mark.parametrize("name", embedded.TABLES)
def test_same_numbers_as_scikit_learn(name: str) -> None:
    table, known = load(name), sklearn_copy(name)
    X, y = table.split()
    assert known.data.tolist() == X
    assert y == known.target.tolist()
    names = [re.sub(r" \(cm\)", "", column).replace(" ", "_") for column in known.feature_names]
    if name != "digits":  # whose columns have longer names there
        assert table.columns[:-1] == names
    if table.classes:
        assert list(table.classes) == [str(target) for target in known.target_names]


@pytest.mark.parametrize("name", embedded.TABLES)
def test_values_are_floats_and_classes_are_ints(name: str) -> None:
    table = load(name)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert len(set(table.columns)) == len(table.columns)
    assert {type(value) for row in table.rows for value in row[:-1]} == {float}
    target = table.column(table.columns[-1])
    if table.classes:
        assert {type(label) for label in target} == {int}
        assert set(target) == set(range(len(table.classes)))
    else:
        assert {type(value) for value in target} == {float}


@pytest.mark.parametrize("name", NAMES)
def test_readme_states_size_and_checksum(name: str) -> None:
    file = path(name)
    assert b"\r" not in file.read_bytes(), "git must not convert line ends: see .gitattributes"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == (embedded.TEXTS[name] if name in embedded.TEXTS else embedded.TABLES[name][0])
    if name in embedded.TABLES:
        size = f"{len(load(name).rows)} × {len(load(name).columns)}"
    else:
        size = f"{len(load_text(name).splitlines())} lines"
    assert f"| {file.name} | {size} | {digest} |" in README
    assert f"\n### {name}\n" in README


def test_texts() -> None:
    names = load_text("names").splitlines()
    assert (names[0], names[-1]) == ("emma", "zzyzx")
    assert all(re.fullmatch("[a-z]+", name) for name in names)
    text = load_text("shakespeare")
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert text.endswith("\n")
    assert 99_000 < len(text) <= 100_000


def test_split_and_column() -> None:
    table = Table(["a", "b", "c"], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert table.split() == ([[1.0, 2.0], [4.0, 5.0]], [3.0, 6.0])
    assert table.split("b") == ([[1.0, 3.0], [4.0, 6.0]], [2.0, 5.0])
    assert table.split("a") == ([[2.0, 3.0], [5.0, 6.0]], [1.0, 4.0])
    assert table.column("b") == [2.0, 5.0]
    with pytest.raises(ValueError, match="no column is called 'd'; did you mean 'a' or 'b' or 'c'"):
        table.split("d")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="no table is called 'diabets'; did you mean 'diabetes'"):
        load("diabets")
    with pytest.raises(ValueError, match="no text is called 'name'; did you mean 'names'"):
        load_text("name")
    with pytest.raises(ValueError, match="no embedded set is called 'xyzzy'; did you mean 'iris' or"):
        path("xyzzy")


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b.replace(b"\n", b"\r\n"), lambda b: b"9" + b[1:]])
def test_a_changed_file_is_named_and_not_used(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes]
) -> None:
    for name in ("iris", "names"):
        (tmp_path / path(name).name).write_bytes(harm(path(name).read_bytes()))
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    for read, name in ((load, "iris"), (load_text, "names")):
        with pytest.raises(WrongFileError, match=re.escape(str(path(name)))):
            read(name)
