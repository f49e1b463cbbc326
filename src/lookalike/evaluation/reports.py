"""Reports of a measurement: a JSON file that says where and when, tables for people."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Cell: TypeAlias = str | int | float | None

_CPU_INFO: Final = Path("/proc/cpuinfo")
_MEMORY_INFO: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where something was measured."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and their rows; a cell of None means it was not measured."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures with all that is needed to judge and repeat them.

    `date` is an ISO date, `commit` the revision that was measured. `metrics` are single figures
    by name; `tables` are laid out for people; `settings` are whatever shaped the run.
    """

    name: str
    date: str
    commit: str
    seed: int
    machine: Machine
    metrics: Mapping[str, float]
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds; figures keep six digits."""
        return _rounded(asdict(self))

    def to_markdown(self) -> str:
        """Return the report as a fragment of a document."""
        machine = self.machine
        about = (
            f"{self.date}, commit {self.commit}, seed {self.seed}; "
            f"{machine.cpu}, {machine.cores} cores, Python {machine.python}."
        )
        parts = [f"### {self.name}", about]
        if self.metrics:
            rows = [(name, value) for name, value in self.metrics.items()]
            parts.append(render_markdown(Table(("measure", "value"), rows)))
        parts += [f"**{n}**\n\n{render_markdown(table)}" for n, table in self.tables.items()]
        return "\n\n".join(parts) + "\n"


def describe_machine(cpu_info: Path = _CPU_INFO, memory_info: Path = _MEMORY_INFO) -> Machine:
    """Return this machine's description; what cannot be read is `unknown` or 0."""
    model = re.search(r"^model name\s*:\s*(.+)$", _read(cpu_info), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _read(memory_info), re.MULTILINE)
    return Machine(
        cpu=model[1].strip() if model else platform.processor() or "unknown",
        cores=os.cpu_count() or 1,
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
        system=platform.system(),
        python=platform.python_version(),
    )


def write_report(report: Report, path: Path) -> None:
    """Write the JSON file whole, or leave the one that was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def render_markdown(table: Table) -> str:
    """Return a Markdown table, numbers to the right."""
    lines = ["| " + " | ".join(table.columns) + " |"]
    lines.append("|" + "|".join("---:" if _is_numeric(table, i) else "---" for i in _range(table)))
    lines[-1] += "|"
    lines += ["| " + " | ".join(_show(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def render_text(table: Table) -> str:
    """Return a table in aligned columns for a terminal."""
    shown = [list(table.columns), *([_show(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in shown) for i in _range(table)]
    rights = [_is_numeric(table, i) for i in _range(table)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, rights, strict=True)
        ).rstrip()
        for row in shown
    )


def _range(table: Table) -> range:
    return range(len(table.columns))


def _is_numeric(table: Table, column: int) -> bool:
    return all(isinstance(row[column], int | float | None) for row in table.rows)


def _show(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else cell.replace("|", "\\|")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _rounded(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
