"""`lookalike.toml`: what is read of it, and what is said where it is wrong."""

import pytest

from lookalike.domain.errors import UsageError
from lookalike.settings import load_settings
from lookalike.settings.cluster import load_cluster

WHOLE = """
name = "photos"
encoder = "lite"
[catalog]
url = "cassandra://127.0.0.1:9042/photos"
consistency = "QUORUM"
[text]
url = "elasticsearch://127.0.0.1:9200/photos"
[vectors]
url = "milvus://127.0.0.1:19530/photos"
[blobs]
url = "s3://photos"
endpoint = "http://127.0.0.1:9000"
[log]
url = "kafka://127.0.0.1:9092/photos"
"""


def load(tmp_path, text=WHOLE, **environment):
    path = tmp_path / "lookalike.toml"
    path.write_text(text, encoding="utf-8")
    return load_cluster(path, environment)


def test_a_whole_file_is_read(tmp_path):
    config = load(tmp_path)
    assert (config.name, config.encoder) == ("photos", "lite")
    assert list(config.backends) == ["catalog", "text", "vectors", "blobs", "log"]
    catalog = config.backends["catalog"]
    assert (catalog.scheme, catalog.settings) == ("cassandra", {"consistency": "QUORUM"})


def test_the_log_may_be_left_out(tmp_path):
    config = load(tmp_path, WHOLE.partition("[log]")[0])
    assert "log" not in config.backends


def test_secrets_come_from_the_environment_and_are_not_shown(tmp_path):
    config = load(tmp_path, LOOKALIKE_CATALOG_PASSWORD="hush", LOOKALIKE_CATALOG_USERNAME="me")
    assert config.backends["catalog"].secrets == {"username": "me", "password": "hush"}
    assert config.backends["text"].secrets == {}
    assert "hush" not in repr(config)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (("[blobs]", "[blob]"), "blob is not known", "blobs"),
        (("[vectors]\n", "[vectors]\npassword = 'x'\n"), "is a secret", "LOOKALIKE_VECTORS_PASS"),
        (("[text]\n", "[text]\napi_key = 'x'\n"), "is a secret", "LOOKALIKE_TEXT_API_KEY"),
        (("milvus://", "milvus://root:pw@"), "holds credentials", "LOOKALIKE_VECTORS_PASSWORD"),
        (("cassandra://", "postgres://"), "cannot be 'postgres'", "cassandra://"),
        (('url = "s3://photos"', ""), "[blobs] names no url", "s3://photos"),
        (('"photos"', '"My Photos"'), "name is 'My Photos'", "small letters"),
        (("[catalog]", "[[catalog]]"), "must be a table", "cassandra://"),
        (("name =", "name ="[:-1]), "cannot be read", ""),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message, hint):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, WHOLE.replace(*change, 1))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_missing_file_and_a_missing_table_are_said(tmp_path):
    with pytest.raises(UsageError, match="there is no"):
        load_cluster(tmp_path / "none.toml", {})
    with pytest.raises(UsageError, match=r"there is no \[vectors\]"):
        load(
            tmp_path,
            WHOLE.replace("[vectors]", "[log2]")
            .replace("[log2]\n", "")
            .replace('url = "milvus://127.0.0.1:19530/photos"\n', ""),
        )


def test_the_environment_may_name_the_file(tmp_path):
    assert load_settings({}).config is None
    assert load_settings({"LOOKALIKE_CONFIG": "/etc/l.toml"}).config.name == "l.toml"
