"""What HTTP shows of what is in pictures: objects, words, copies, and decisions on those."""

import pytest
from PIL import Image

from lookalike.adapters.source_folder import FolderSource
from lookalike.server.schemas import (
    ErrorEnvelope,
    RecordAnswer,
    SearchAnswer,
)
from lookalike.server.schemas_copies import CopyGroupsAnswer
from tests.integration.served import draw_seen, edited, encoded, open_toy, serve_toy
from tests.photographs import sample

ORIGINAL, OTHER = "coco-041888.jpg", "taj-mahal.jpg"
QUERY = "images containing two dogs"


@pytest.fixture(scope="module")
def edits():
    return edited(ORIGINAL) | {"other": sample(OTHER)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory, edits):
    root = tmp_path_factory.mktemp("showing")
    folder = draw_seen(root / "drawn")
    for name in ("original", "small", "other"):
        (folder / f"{name}.jpg").write_bytes(edits[name])
    with open_toy(root, count=0, is_seeing=True) as engine:
        engine.index([FolderSource(folder)])
        yield engine


@pytest.fixture(scope="module")
def client(engine):
    return serve_toy(engine).client


def found(response):
    assert response.status_code == 200, response.text
    SearchAnswer.model_validate(response.json())
    return response.json()


def groups(response):
    assert response.status_code == 200, response.text
    CopyGroupsAnswer.model_validate(response.json())
    return response.json()


def error(response, status, code):
    assert response.status_code == status, response.text
    detail = ErrorEnvelope.model_validate(response.json()).error
    assert detail.code == code
    return detail


def names(answer):
    return [hit["path"].rsplit("/", 1)[-1] for hit in answer["hits"]]


def shown(client, data, show, **params):
    files = {"file": ("q.jpg", data)}
    return found(client.post("/v1/search/image", params={"show": show, **params}, files=files))


def asked(client, q, **params):
    return found(client.get("/v1/search", params={"q": q, **params}))


@pytest.fixture
def ids(client):
    answer = asked(client, "red", k=50, collapse=False)
    return {name: hit["id"] for name, hit in zip(names(answer), answer["hits"], strict=True)}


# ── Objects ──────────────────────────────────────────────────────────────────────────────


def test_hits_and_records_bear_their_objects_and_words(client):
    hit = asked(client, "has:dog has:car")["hits"][0]
    assert [one["label"] for one in hit["objects"]] == ["dog", "car"]
    assert hit["objects"][1]["box"] == [0.5, 0.0, 0.5, 0.5]
    sign = asked(client, 'text:"no parking"')["hits"][0]
    record = client.get(f"/v1/images/{sign['id']}").json()
    RecordAnswer.model_validate(record)
    assert record["ocr_text"] == "NO PARKING"
    assert [word["text"] for word in record["words"]] == ["NO", "PARKING"]
    assert record["words"][0]["box"] == [0.1, 0.1, 0.3, 0.1]


def test_plain_language_says_how_it_was_read_and_what_else_to_ask(client):
    answer = asked(client, QUERY, k=5)
    assert (answer["reading"], answer["reading_met"]) == (["dog ≥ 2"], 2)
    instead = asked(client, answer["words_instead"])
    assert "reading" not in instead
    assert "words_instead" not in instead


def test_objects_are_found_by_a_picture_nearest_first_page_by_page(client, ids):
    seen, cursor, scores = [], None, []
    while True:
        body = {"images": [{"id": ids["0-red.png"]}], "show": "objects", "k": 3}
        answer = found(client.post("/v1/search", json=body | {"cursor": cursor}))
        for hit in answer["hits"]:
            assert any("cosine" in one for one in hit["objects"])
            scores.append(hit["parts"]["region"])
        seen += names(answer)
        cursor = answer["next"]
        if cursor is None:
            break
    assert scores == sorted(scores, reverse=True)
    assert len(seen) == len(set(seen)) == answer["total"]
    assert not any("black" in name for name in seen), "they hold no object"
    assert set(seen[:2]) == {"0-red.png", "1-red.png"}
    assert [one["label"] for one in answer["asked"]["objects"]] == ["cat"]
    plain = {"images": [{"id": ids["0-red.png"]}], "k": 3, "cursor": None}
    first = found(client.post("/v1/search", json=plain))
    error(client.post("/v1/search", json=plain | {"show": "objects", "cursor": first["next"]}),
          400, "cursor")  # fmt: skip


def test_an_uploaded_picture_is_looked_at(client):
    blue = Image.new("RGB", (300, 200), (40, 60, 220))
    answer = shown(client, encoded(blue), "objects", k=2)
    assert [one["label"] for one in answer["asked"]["objects"]] == ["dog", "dog"]
    assert all("blue" in name for name in names(answer))
    region = shown(client, encoded(blue), "objects", k=2, region="0.1,0.1,0.4,0.4")
    assert len(region["asked"]["objects"]) == 2, "of the whole picture"


def test_words_find_objects_and_conditions_list_them(client):
    answer = asked(client, "blue", show="objects", k=2)
    assert all("blue" in name for name in names(answer))
    assert asked(client, "has:car", show="objects")["total"] == 2
    error(client.get("/v1/search?q=color:red&show=objects"), 400, "query")


# ── Text ─────────────────────────────────────────────────────────────────────────────────


def test_text_shows_pictures_in_which_all_words_are_read(client):
    answer = asked(client, "parking no", show="text")
    assert sorted(names(answer)) == ["0-yellow.png", "1-yellow.png"]
    assert all(
        any(one.startswith("ocr_text:") for one in hit["why"])
        for hit in asked(client, "parking", show="text")["hits"]
    )
    assert asked(client, "yellow", show="text")["hits"] == []
    assert asked(client, QUERY, show="text")["hits"] == []
    error(client.get("/v1/search?q=color:red&show=text"), 400, "query")


def test_text_of_a_picture_finds_others_with_its_words(client, edits, ids):
    body = {"images": [{"id": ids["0-yellow.png"]}], "show": "text"}
    answer = found(client.post("/v1/search", json=body))
    assert names(answer) == ["1-yellow.png"]
    assert [word["text"] for word in answer["asked"]["words"]] == ["NO", "PARKING"]
    green = found(client.post("/v1/search", json=body | {"images": [{"id": ids["0-green.png"]}]}))
    assert (green["hits"], green["asked"]["words"]) == ([], [])


# ── Copies ───────────────────────────────────────────────────────────────────────────────


def test_copies_of_an_upload_come_with_reasons_the_surest_first(client, edits):
    answer = shown(client, edits["mirrored"], "copies")
    assert sorted(names(answer)) == ["original.jpg", "small.jpg"]
    evidence = [hit["copy_of"] for hit in answer["hits"]]
    assert all("mirrored" in one["reason"] for one in evidence)
    assert evidence[0]["score"] >= evidence[1]["score"]
    own = shown(client, edits["original"], "copies")
    assert names(own) == ["original.jpg", "small.jpg"]
    assert own["hits"][0]["copy_of"]["reason"] == "the same file"
    assert names(shown(client, edits["mirrored"], "copies", k=1)) == [names(answer)[0]]
    assert shown(client, edits["mirrored"], "copies", min_width=9999)["hits"] == []
    similar = names(shown(client, edits["original"], "similar", collapse=False, k=50))
    assert "other.jpg" in similar
    assert not {"original.jpg", "small.jpg"} & set(similar)


def test_copies_need_one_whole_picture(client, edits, ids):
    files = {"file": ("q.jpg", edits["original"])}
    region = client.post("/v1/search/image?show=copies&region=0.1,0.1,0.5,0.5", files=files)
    error(region, 400, "query")
    two = [{"id": ids["original.jpg"]}, {"id": ids["other.jpg"]}]
    error(client.post("/v1/search", json={"images": two, "show": "copies"}), 400, "query")
    error(client.get("/v1/search?q=red&show=twins"), 422, "validation")
    error(client.post("/v1/search", json={"q": "red", "show": "twins"}), 422, "validation")
    gone = {"images": [{"id": "0" * 32}], "show": "copies"}
    error(client.post("/v1/search", json=gone), 404, "not_found")


def test_one_of_each_group_is_shown_unless_all_are_wanted(client, ids):
    assert len(ids) == 13
    answer = asked(client, "red", k=50)
    assert len(answer["hits"]) == 12
    assert {"original.jpg", "small.jpg"} - set(names(answer))
    held = [hit["copies"] for hit in answer["hits"] if hit["copies"]]
    assert held == [1]
    many = asked(client, "red", show="copies")
    assert [hit["copies"] for hit in many["hits"]] == [1]
    body = {"q": "red", "k": 50, "collapse": False}
    assert len(found(client.post("/v1/search", json=body))["hits"]) == 13


def test_words_show_the_like_by_looks_alone(client):
    answer = asked(client, "red", show="similar", k=2)
    assert all("red" in name for name in names(answer))
    assert all("bm25" not in hit["parts"] for hit in answer["hits"])


def test_an_added_picture_is_looked_at_and_placed_at_once(client, edits, ids):
    sign = client.get(f"/v1/images/{ids['0-yellow.png']}/original").content + b"\0"
    added = [
        client.post("/v1/images", files={"file": ("new.jpg", data)}).json()["id"]
        for data in (edits["mirrored"], sign)
    ]
    group = groups(client.get(f"/v1/images/{added[0]}/group"))["groups"][0]
    assert len(group["members"]) == 3
    own = {"images": [{"id": ids["original.jpg"]}], "collapse": False, "k": 3}
    marks = [hit["copy_of"]["reason"] for hit in found(client.post("/v1/search", json=own))["hits"]]
    assert marks[0] == "the same file"
    assert all("same picture" in one for one in marks[1:])
    record = client.get(f"/v1/images/{added[1]}").json()
    assert [one["label"] for one in record["objects"]] == ["bird"]
    assert record["ocr_text"] == "NO PARKING"
    for image in added:
        client.delete(f"/v1/images/{image}")


def test_decisions_hold_and_are_taken_back(client, ids):
    one, two, other = ids["original.jpg"], ids["small.jpg"], ids["other.jpg"]
    group = groups(client.get(f"/v1/images/{two}/group"))["groups"][0]
    assert {member["record"]["id"] for member in group["members"]} == {one, two}
    assert group["members"][0]["record"]["id"] == group["canonical"]
    assert group["members"][1]["reason"]
    kept = two if group["canonical"] == one else one
    answer = groups(client.post("/v1/copies/keep", json={"ids": [kept]}))
    assert (answer["decided"], answer["groups"][0]["canonical"]) == ("keep", kept)
    answer = groups(client.post("/v1/copies/split", json={"ids": [one[:12]]}))
    assert (answer["decided"], answer["groups"]) == ("split", [])
    assert groups(client.get(f"/v1/images/{one}/group"))["groups"] == []
    whole = found(client.post("/v1/search", json={"images": [{"id": one}], "show": "copies"}))
    assert whole["hits"] == []
    answer = groups(client.post("/v1/copies/merge", json={"ids": [one, other]}))
    assert len(answer["groups"][0]["members"]) == 2
    for undone in ("merge", "split", "keep"):
        assert groups(client.post("/v1/copies/undo"))["undone"] == undone
    assert groups(client.post("/v1/copies/undo")) == {"undone": None, "groups": []}
    assert groups(client.get(f"/v1/images/{one}/group"))["groups"] == [group]


def test_bad_decisions_are_refused(client, ids):
    one = ids["0-black.png"]
    error(client.post("/v1/copies/merge", json={"ids": [one]}), 400, "usage")
    error(client.post("/v1/copies/merge", json={"ids": [one, one]}), 400, "usage")
    error(client.post("/v1/copies/merge", json={"ids": [one, "0" * 32]}), 404, "not_found")
    error(client.post("/v1/copies/split", json={"ids": [one]}), 400, "usage")
    error(client.post("/v1/copies/keep", json={"ids": [one]}), 400, "usage")
    error(client.post("/v1/copies/keep", json={"ids": [one, one]}), 422, "validation")
    for route in ("merge", "split", "keep"):
        for wrong in ({}, {"ids": []}, {"ids": "x"}, {"ids": [1]}, {"ids": [one] * 101}, []):
            error(client.post(f"/v1/copies/{route}", json=wrong), 422, "validation")
        error(client.post(f"/v1/copies/{route}", content=b"ids"), 415, "unsupported_media_type")
    error(client.get("/v1/images/0000/group"), 404, "not_found")


def test_decisions_need_the_key_that_other_writes_need(engine):
    client = serve_toy(engine, api_keys=("open-sesame-open-sesame",)).client
    for route in ("merge", "split", "keep", "undo"):
        error(client.post(f"/v1/copies/{route}", json={"ids": ["0" * 32]}), 401, "unauthorized")
    foreign = {"origin": "https://evil.example", "x-api-key": "open-sesame-open-sesame"}
    error(client.post("/v1/copies/undo", headers=foreign), 403, "forbidden")
