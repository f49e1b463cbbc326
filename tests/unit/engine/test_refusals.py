"""The report file of a run."""

import json

from lookalike.engine.refusals import RefusalFile


def test_the_file_exists_only_when_there_is_a_line(tmp_path):
    path = tmp_path / "reports" / "refused.jsonl"
    file = RefusalFile(path)
    file.close()
    assert file.path is None
    assert not path.parent.exists()


def test_a_line_for_each_refusal_whatever_the_name(tmp_path):
    path = tmp_path / "reports" / "refused.jsonl"
    file = RefusalFile(path)
    file.write("/pictures/caf\udce9.jpg", "truncated", "line\nbreak")
    file.write("/pictures/bjørk.png", "empty-file", "")
    file.close()
    assert file.path == path
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == [
        {"uri": "/pictures/caf\\xe9.jpg", "reason": "truncated", "detail": "line\nbreak"},
        {"uri": "/pictures/bjørk.png", "reason": "empty-file", "detail": ""},
    ]


def test_nowhere_to_write_is_fine():
    file = RefusalFile(None)
    file.write("/a", "truncated", "")
    file.close()
    assert file.path is None
