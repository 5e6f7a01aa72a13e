"""Files of ground truth, good ones and all kinds of bad ones."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.v1 import job_pb2, model_pb2
from service.client.evaluations.clip_truth import Box, ClipTruth
from service.client.evaluations.ground_truth import truth_message
from service.client.evaluations.truth_file import COLUMNS, check_classes, read_truth, truths_of
from service.errors import InvalidArgument

HEADER = "clip,class,first_frame,last_frame,frame,x0,y0,x1,y1\n"


def read(tmp_path: Path, text: str | bytes, name: str = "truth.csv") -> list[ClipTruth]:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_truth(file)


def refused(tmp_path: Path, text: str | bytes, name: str = "truth.csv") -> str:
    with pytest.raises(InvalidArgument) as caught:
        read(tmp_path, text, name)
    assert caught.value.reason == "BAD_TRUTH"
    return caught.value.message


def test_rows_of_one_clip_add_up(tmp_path: Path) -> None:
    text = HEADER + "a.mp4,move left,3,9,0,1,2,30.5,40\na.mp4,,,,1,2,2,31,40\n\nb.mp4,7,,,,,,,\n"
    first, second = read(tmp_path, text)
    assert first == ClipTruth("a.mp4", 2, "move left", (3, 9), boxes=(Box(0, 1, 2, 30.5, 40), Box(1, 2, 2, 31, 40)))
    assert second == ClipTruth("b.mp4", 5, "7")
    assert (first.parts, second.parts) == ({"label", "objects", "segment"}, {"label"})


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    lines = [
        {"clip": "a.mp4", "class": "move left", "first_frame": 3, "last_frame": 9, "boxes": [[0, 1, 2, 30.5, 40]]},
        {"clip": "b.mp4", "class": 7, "begin_seconds": 0.5, "end_seconds": 2, "mask": None},
    ]
    found = read(tmp_path, "\n".join(map(json.dumps, lines)) + "\n\n", "truth.jsonl")
    assert found == [
        ClipTruth("a.mp4", 1, "move left", (3, 9), boxes=(Box(0, 1, 2, 30.5, 40),)),
        ClipTruth("b.mp4", 2, 7, seconds=(0.5, 2.0)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfclip,class\r\na.mp4,move left\r\n",
        b"clip,class\ra.mp4,move left\r",
        b'"clip","class"\n"a.mp4","move left"',
        b" CLIP , Class \n a.mp4 , move left \n,\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: bytes) -> None:
    assert read(tmp_path, text) == [ClipTruth("a.mp4", 2, "move left")]


def test_a_quoted_line_break_keeps_the_count_of_lines(tmp_path: Path) -> None:
    assert refused(tmp_path, 'clip,class\na,"move\nleft"\nb\n') == (
        "truth.csv line 4: has 1 fields, the header 2; an empty field is a comma too"
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,left,,,0,30,2,10,40", "x1: 10 is not more than x0 (30); swap them or drop the box"),
        ("a,left,,,0,1,40,30,2", "y1: "),
        ("a,left,,,0,nan,2,30,40", "x0: 'nan' is not a finite number"),
        ("a,left,,,0,1,2,inf,40", "x1: 'inf' is not a finite number"),
        ("a,left,,,0,1,2,1e400,40", "x1: '1e400' is not a finite number"),
        ("a,left,,,0,1,2,3_0,40", "x1: '3_0' is not a finite number"),
        ("a,left,,,0,-9,2,-3,40", "x1: -3 is outside the picture"),
        ("a,left,,,-1,1,2,30,40", "frame: '-1' is not a frame"),
        ("a,left,,,1.5,1,2,30,40", "frame: '1.5' is not a frame"),
        ("a,left,,,0,1,2,30,", "y1: is missing beside frame; a box is frame, x0, y0, x1, y1"),
        ("a,left,9,3,,,,,", "last_frame: 3 is before the first, 9; swap them"),
        ("a,left,9,,,,,,", "last_frame: is missing beside first_frame; give both"),
        ("a,left,x,9,,,,,", "first_frame: 'x' is not a finite number"),
        (",left,,,,,,,", "clip: is empty"),
        ("a,,,,,,,,", "says nothing of 'a'"),
    ],
)
def test_every_row_is_checked_and_named(tmp_path: Path, row: str, says: str) -> None:
    said = refused(tmp_path, f"{HEADER}ok,left,,,,,,,\n{row}\n")
    assert said.startswith("truth.csv line 3: ")
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clip;class\na;left\n", "line 1: has columns separated by semicolons; separate them by commas"),
        ("clip\tclass\na\tleft\n", "separated by tabs"),
        ("clip,klass\na,left\n", "line 1: 'klass' is not a column; did you mean 'class'?"),
        ("clip,class,class\na,left,left\n", "column 'class' is there twice"),
        ("class\nleft\n", "has no column 'clip'"),
        ("clip,class\na,left\nb,right\na,left\n", "line 4: is line 2 again; remove one"),
        ("clip,class\na,left\na,right\n", "line 3: class: 'right', but line 2 says 'left' of 'a'; a clip has one"),
        ("clip,frame,x0,y0,x1,y1\na,0,1,1,2,2\na,0,1.0,1,2,2\n", "line 3: boxes: frame 0, 1, 1, 2, 2 is in line 2"),
        ("clip,first_frame,last_frame,begin_seconds,end_seconds\na,1,2,,\na,,,0,1\n", "line 3: gives seconds where"),
        ("clip,begin_seconds,end_seconds\na,2,1\n", "line 2: end_seconds: 1 is not after the begin, 2"),
        ("clip,begin_seconds,end_seconds\na,-2,1\n", "line 2: begin_seconds: -2 is before the clip"),
        ("clip,mask\na,absent.npz\n", "line 2: mask: 'absent.npz' does not exist"),
        ('clip,class\na,"left\n', "line 2: cannot be read as CSV"),
        ("clip,class\n", "says nothing of any clip"),
        ("", "says nothing of any clip"),
        ("clip,class\na,l\0eft\n", "line 2: holds a null character"),
        (b"clip,class\na,\xfcber\n", "line 2: holds bytes that are not UTF-8"),
        ("clip,class\na,left\n".encode("utf-16"), "is UTF-16; save it as CSV UTF-8"),
        ('{"clip": "a", "class": NaN}', "line 1: holds NaN; write a finite number"),
        ('{"clip": "a", "class": "l", "class": "r"}', "line 1: class: is there twice"),
        ('{"clip": "a", "class": true}', "line 1: class: True is not a class"),
        ('{"clip": "a", "class": -1}', "line 1: class: -1 is not a class"),
        (
            '{"clip": "a", "boxes": {"frame": 1}}',
            "line 1: boxes: {'frame': 1} is not a list of [frame, x0, y0, x1, y1]",
        ),
        ('{"clip": "a", "boxes": [[0, 1, 1, 2, 2], [0, 1]]}', "line 1: boxes[1]: [0, 1] is not [frame"),
        ('{"clip": "a", "boxes": [[0, 5, 1, 2, 2]]}', "line 1: boxes[0].x1: 2 is not more than x0 (5)"),
        ('{"clip": "a", "class": "l"}\n{"clip": "a", "class": "l"}', "line 2: clip: line 1 is of 'a' too"),
        ('[{"clip": "a", "class": "l"}]', "line 1: holds [{'clip': 'a', 'class': 'l'}]; write one object per line"),
        ('{"clip": "a",\n"class": "l"}', "line 1: is not JSON"),
        ('{"clip": "a", "label": "l"}', "line 1: label: is not known"),
        ('{"clip": ["a"], "class": "l"}', "line 1: clip: is empty"),
        ("{" * 2000, "line 1: is not JSON"),
        ('{"clip": "a", "class": ' + "[" * 200_000, "line 1: is not JSON"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert says in refused(tmp_path, text)


def test_boxes_beside_a_mask_are_refused_in_either_order(tmp_path: Path) -> None:
    (tmp_path / "m.npz").touch()
    header = "clip,frame,x0,y0,x1,y1,mask\n"
    box, mask = "a,0,1,1,2,2,\n", "a,,,,,,m.npz\n"
    for rows in (box + mask, mask + box):
        assert "line 3: mask: 'a' has boxes and a mask" in refused(tmp_path, header + rows)
    (found,) = read(tmp_path, header + mask)
    assert found.mask == tmp_path / "m.npz"


def test_many_mistakes_are_told_together_and_not_all(tmp_path: Path) -> None:
    text = "clip,first_frame,last_frame\n" + "".join(f"c{n},9,1\n" for n in range(13))
    said = refused(tmp_path, text).splitlines()
    assert [line.split(":")[0] for line in said[:10]] == [f"truth.csv line {n}" for n in range(2, 12)]
    assert said[10:] == ["and 3 more lines like these"]


fields = st.one_of(
    st.sampled_from(["", "a.mp4", "left", "0", "3", "1e9", "-1", "nan", "1.5", "\u0663", "x" * 70]),
    st.text(max_size=8),
    st.floats().map(str),
)


@given(st.lists(st.lists(fields, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=6))
def test_csv_of_any_content_is_read_or_refused_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([COLUMNS, *rows])
    _read_or_refuse(tmp_path_factory.getbasetemp() / "any.csv", written.getvalue().encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    _read_or_refuse(tmp_path_factory.getbasetemp() / "any.csv", data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["clip", "frame", "q"]), inner),
    max_leaves=8,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["clip", "class", "first_frame", "last_frame", "boxes", "mask", "end_seconds"]), json_values
        ),
        max_size=4,
    )
)
def test_json_of_any_content_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    _read_or_refuse(tmp_path_factory.getbasetemp() / "any.jsonl", "\n".join(map(json.dumps, rows)).encode())


def _read_or_refuse(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        found = read_truth(file)
    except InvalidArgument as error:
        assert error.message.startswith(file.name)  # noqa: PT017  # either is fine, so pytest.raises does not fit
        return
    # Whatever is accepted has what its type promises, and a message.
    for truth in found:
        assert truth.clip == truth.clip.strip() != ""
        assert truth.parts
        assert all(0 <= box.frame < 2**32 and box.x0 < box.x1 and box.y0 < box.y1 for box in truth.boxes)
        message = truth_message(truth.ground_truth(), "clips[0].ground_truth")
        assert message is not None
        message.SerializeToString()


def test_clips_are_found_by_path_and_by_its_end(tmp_path: Path) -> None:
    clips = [tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4", tmp_path / "b" / "y.mp4", tmp_path / "z"]
    written = [ClipTruth("a/x.mp4", 2, "l"), ClipTruth("y", 3, "l"), ClipTruth(str(clips[1]), 4, "r")]
    found = truths_of([*written, ClipTruth("other.mp4", 5, "l")], clips, tmp_path / "truth.csv")
    assert found == [written[0], written[2], written[1], None]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["x.mp4"], "line 2: clip: 'x.mp4' fits 2 clips"),
        (["a/x.mp4", "a/x"], "line 3: clip: 'a/x' is"),
        (["q.mp4"], "speaks of none of these clips; it names 'q.mp4'"),
    ],
)
def test_names_that_fit_badly(tmp_path: Path, names: list[str], says: str) -> None:
    clips = [tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4"]
    truths = [ClipTruth(name, number, "l") for number, name in enumerate(names, start=2)]
    with pytest.raises(InvalidArgument) as caught:
        truths_of(truths, clips, tmp_path / "t.csv")
    assert says in caught.value.message


def test_classes_are_those_of_the_model() -> None:
    model = model_pb2.Model(name="tiny", labels=["left", "right"])
    check_classes(
        [ClipTruth("a", 2, "left"), ClipTruth("a", 3, 1), ClipTruth("b", 4, "1"), ClipTruth("c", 5)], model, Path("t")
    )
    with pytest.raises(InvalidArgument) as caught:
        check_classes([ClipTruth("a", 2, "lefd"), ClipTruth("b", 3, 2)], model, Path("t.csv"))
    first, second = caught.value.message.splitlines()
    assert first.startswith("t.csv line 2: class: ")
    assert "did you mean 'left'" in first
    assert second.startswith("t.csv line 3: class: ")


def test_a_message_says_all_of_it() -> None:
    def message(truth: ClipTruth) -> job_pb2.GroundTruth:
        made = truth_message(truth.ground_truth(), "")
        assert made is not None
        return made

    first = message(ClipTruth("a", 2, "left", frames=(3, 9), boxes=(Box(4, 0.5, 1, 2, 3), Box(4, 1, 1, 2, 2))))
    assert first.label.label == "left"
    assert (first.segment.frames.first, first.segment.frames.last) == (3, 9)
    assert list(first.boxes) == [
        job_pb2.Box(frame=4, x0=0.5, y0=1, x1=2, y1=3),
        job_pb2.Box(frame=4, x0=1, y0=1, x1=2, y1=2),
    ]
    other = message(ClipTruth("a", 2, 0, seconds=(0.5, 2)))
    assert other.label.WhichOneof("selector") == "index"
    assert (other.segment.seconds.begin, other.segment.seconds.end) == (0.5, 2)
    assert message(ClipTruth("a", 2)) == job_pb2.GroundTruth()
