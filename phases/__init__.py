"""Lessons by their slug: ``phases.deep_learning_core.mini_framework`` is ``03-deep-learning-core/10-mini-framework``.

Folders keep readable numbered names; this finder maps the slug to the folder. `replace` puts another file in
the place of a lesson's ``build_it.py``: the learner's own, while it is being checked. Where the environment variable
``TWICE_ROOT`` names another repository of lessons, they come from its ``phases/``, and from nowhere else.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

if _root := os.environ.get("TWICE_ROOT"):
    __path__ = [str(Path(_root).resolve() / "phases")]
_replacements: dict[str, str] = {}


def replace(lesson: str, file: str | os.PathLike[str]) -> None:
    """Import ``build_it`` of `lesson` (``"deep-learning-core/backpropagation"``) from `file` from now on."""
    module = f"{__name__}.{lesson.replace('-', '_').replace('/', '.')}.build_it"
    _replacements[module] = os.fspath(file)
    sys.modules.pop(module, None)


class _UncachedLoader(SourceFileLoader):
    """Compiles what the file holds now. Bytecode is kept by whole seconds and size, and a save can change neither."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _SlugFinder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if not fullname.startswith(__name__ + ".") or path is None:
            return None
        if file := _replacements.get(fullname):
            return importlib.util.spec_from_file_location(fullname, file, loader=_UncachedLoader(fullname, file))
        slug = fullname.rpartition(".")[2].replace("_", "-")
        folders = [
            str(folder)
            for parent in path
            for folder in sorted(Path(parent).iterdir())
            if re.fullmatch(r"\d\d-" + re.escape(slug), folder.name)
        ]
        if not folders:
            return None  # a module in a lesson's folder: the ordinary finders (and pytest's) take it from here
        if len(folders) > 1:
            raise ImportError(f"{fullname} is ambiguous: {' and '.join(folders)}")
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = folders
        return spec


sys.meta_path.insert(0, _SlugFinder())
