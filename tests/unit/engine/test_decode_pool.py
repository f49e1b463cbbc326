"""The pool of decoder processes: a bad picture costs itself and nothing else."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lookalike.domain import reasons
from lookalike.domain.bundle import Preprocess
from lookalike.engine.decode_pool import DECODER, DecodeBounds, DecodePool
from lookalike.engine.frames import DecodeJob
from lookalike.imaging.decode import DecodeLimits
from lookalike.imaging.examine import ExaminePlan
from tests.toy import picture

ODD_WORKER = (sys.executable, str(Path(__file__).with_name("odd_worker.py")))
PLAN = ExaminePlan(preprocess=Preprocess(16), limits=DecodeLimits())


@pytest.fixture
def odd_pool():
    """A pool of one odd worker; a stall is ended after two seconds."""
    pool = DecodePool(1, DecodeBounds(seconds=2.0), command=ODD_WORKER)
    yield pool
    pool.close()


def job(text):
    return DecodeJob(data=text.encode())


def outcomes(pool, texts):
    answers = [answer for _, answer in pool.map((text, job(text)) for text in texts)]
    return [(answer.error.reason, answer.error.message) for answer in answers]


def echoed(text):
    return ("echo", text)


def test_answers_come_in_order_from_many_processes():
    pool = DecodePool(3, command=ODD_WORKER)
    try:
        texts = [f"job {number}" for number in range(100)]
        assert outcomes(pool, texts) == [echoed(text) for text in texts]
    finally:
        pool.close()


def test_no_job_passes_through_in_its_place(odd_pool):
    tags = [("a", job("x")), ("b", None), ("c", job("y")), ("d", None)]
    answered = [(tag, answer and answer.error.message) for tag, answer in odd_pool.map(tags)]
    assert answered == [("a", "x"), ("b", None), ("c", "y"), ("d", None)]


def test_a_picture_that_kills_its_process_is_refused_alone(odd_pool):
    found = outcomes(odd_pool, ["one", "die", "two", "die", "die", "three"])
    assert [reason for reason, _ in found] == [
        "echo", reasons.DECODER_CRASHED, "echo", reasons.DECODER_CRASHED,
        reasons.DECODER_CRASHED, "echo",
    ]  # fmt: skip
    assert found[2] == echoed("two")


def test_a_stall_is_ended_and_the_jobs_behind_it_survive(odd_pool):
    found = outcomes(odd_pool, ["one", "stall", "two", "three"])
    assert [reason for reason, _ in found] == ["echo", reasons.TOO_SLOW, "echo", "echo"]
    assert "2 s" in found[1][1]


def test_the_process_that_died_is_followed_by_another(odd_pool, tmp_path):
    flag = tmp_path / "died"
    assert outcomes(odd_pool, [f"die-once {flag}"])[0][0] == reasons.DECODER_CRASHED
    assert outcomes(odd_pool, [f"die-once {flag}"]) == [echoed(f"die-once {flag}")]


def test_a_process_that_cannot_be_started_answers_all_the_same():
    pool = DecodePool(1, command=("/no/such/program",))
    try:
        found = outcomes(pool, ["one", "two", "three"])
        assert [reason for reason, _ in found] == [reasons.DECODER_CRASHED] * 3
    finally:
        pool.close()


def test_a_picture_that_needs_too_much_memory_is_refused_alone():
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000), "red").save(buffer, "PNG")  # 243 MB when decoded
    pool = DecodePool(1, DecodeBounds(seconds=120.0, memory_bytes=400 << 20))
    try:
        jobs = [(None, DecodeJob(data=data, plan=PLAN)) for data in (buffer.getvalue(), picture())]
        large, small = (answer for _, answer in pool.map(jobs))
        assert large.error.reason in {reasons.TOO_MANY_PIXELS, reasons.DECODER_CRASHED}
        assert small.examined.facts.width == 48
    finally:
        pool.close()


def test_real_jobs_are_examined_and_refused(tmp_path):
    path = tmp_path / "red.jpg"
    path.write_bytes(picture())
    jobs = [
        DecodeJob(path=os.fsencode(path), plan=PLAN),
        DecodeJob(data=b"no picture", plan=PLAN),
        DecodeJob(path=b"/no/such/file.jpg", plan=PLAN),
        DecodeJob(path=b"/dev/zero", plan=PLAN),
        DecodeJob(path=os.fsencode(path), plan=PLAN, max_bytes=10),
        DecodeJob(data=picture(), preprocess=Preprocess(16), region=(0.0, 0.0, 0.5, 0.5)),
    ]
    pool = DecodePool(2)
    try:
        good, *bad, query = (answer for _, answer in pool.map((None, one) for one in jobs))
    finally:
        pool.close()
    assert good.examined.facts.format == "jpeg"
    assert [answer.error.reason for answer in bad] == [
        reasons.NOT_AN_IMAGE, reasons.VANISHED, reasons.UNREADABLE, reasons.TOO_MANY_BYTES,
    ]  # fmt: skip
    assert query.pixels.shape == (16, 16, 3)


def test_closing_ends_the_processes_and_is_done_once():
    pool = DecodePool(2, command=ODD_WORKER)
    assert outcomes(pool, ["one"]) == [echoed("one")]
    late = [pool.submit(job(f"late {number}")) for number in range(50)]
    pool.close()
    pool.close()
    assert all(future.cancelled() or future.result().error for future in late)
    with pytest.raises(RuntimeError):
        pool.submit(job("too late"))


def test_a_decoder_ends_when_its_parent_is_gone():
    with subprocess.Popen(DECODER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
