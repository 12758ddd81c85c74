"""Where a learner's own things are: ``.twice/`` with the progress, and ``workspace/`` with the code."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from shared.curriculum import Lesson, load
from shared.learn.progress import State, Store, make_private, merged, stamp, unused

_NAME = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")


@dataclass(frozen=True)
class Home:
    """The learner's things for the lessons below `root`; they lie in `folder`."""

    root: Path
    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / ".twice"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def store(self) -> Store:
        return Store(self.state, self._carry)

    def file(self, lesson: Lesson) -> Path:
        """The learner's version of `lesson`, whether it exists or not; what was begun under a former name moves."""
        folder = self.workspace / lesson.name
        for former in lesson.formerly:
            old = self.workspace / former
            if old.is_dir() and not folder.exists():
                with contextlib.suppress(OSError):  # another twice was faster, or nothing can be written here
                    folder.parent.mkdir(exist_ok=True)
                    old.rename(folder)
                if not folder.exists():
                    return old / "build_it.py"
        return folder / "build_it.py"

    def make_folder(self, lesson: Lesson) -> Path:
        """As `file`, and its folder exists afterwards."""
        make_private(self.workspace)
        file = self.file(lesson)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _carry(self, state: State) -> None:
        """Give what is known of a lesson's former name to its new one; a lesson that is gone keeps what it has."""
        used = {
            *state["lessons"],
            *(name[0] for name in map(_NAME.match, (state.get("goal", ""), *state["cards"])) if name),
        }
        curriculum = load(self.root)
        if gone := used - curriculum.lessons.keys():
            for old in sorted(gone & curriculum.former.keys()):
                _rename(state, old, curriculum.former[old].name)


def _rename(state: State, old: str, new: str) -> None:
    """In place. Whoever has used both names (on two machines, say) has done the lesson once."""
    if state.get("goal") == old:
        state["goal"] = new
    moved: State = {"lessons": {}, "cards": {}}
    for group, items in moved.items():  # the id of a card begins with the name of its lesson
        for key in [key for key in state[group] if (match := _NAME.match(key)) and match[0] == old]:
            items[new + key.removeprefix(old)] = state[group].pop(key)
    state.update(merged(state, moved))


def home(root: Path) -> Home:
    """The learner's home for the lessons below `root`: the folder ``$TWICE_HOME``, or else `root` itself."""
    return Home(root, Path(os.environ.get("TWICE_HOME") or root).expanduser().absolute())


def backup(file: Path) -> Path:
    """Move `file` into ``backups/`` beside it, under a name with the time; nothing is overwritten."""
    folder = file.parent / "backups"
    folder.mkdir(exist_ok=True)
    return file.rename(unused(folder / f"{file.stem}.{stamp()}", file.suffix))
